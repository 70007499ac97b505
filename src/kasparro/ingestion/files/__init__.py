"""The bytes of files, wherever they are: of this machine, in an object store, on the web; unpacked within bounds."""
