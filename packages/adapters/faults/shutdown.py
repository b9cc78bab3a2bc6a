"""Cuts the power of ext4 file systems: reads the path of a mount a line, and prints one when nothing can be written to it."""
import fcntl
import os
import struct
import sys

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2

for line in sys.stdin:
    directory = os.open(line.rstrip("\n"), os.O_RDONLY)
    fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
    os.close(directory)
    print("off", flush=True)
