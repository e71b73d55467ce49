"""Our server and adapters beside their peers; see README.md in this folder."""
