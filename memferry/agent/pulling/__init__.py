"""From other machines' logs into the files here: believed or not, merged, written."""
