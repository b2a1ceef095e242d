"""The `aletheia` command: sessions on the volume in the pod, or in a folder of a laptop."""
