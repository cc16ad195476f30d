"""Writes one rotated file from many processes without a server: each takes a lock, and writes.

There are no threads and no sockets here. Only a program that asks for it loads this folder.
"""
