"""What `manage.py migrate` makes: the storage's own steps, one version of the tables each."""
