"""A store on a server that is reached by SSH, over SFTP alone."""
