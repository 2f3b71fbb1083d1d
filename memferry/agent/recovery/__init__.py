"""Who this machine is, and how it goes on when its state was lost or copied, or when another machine is gone."""
