"""The doors to the kernel: every system call, cgroup file and netlink message goes through here.

A test can stand in for the kernel at these doors, and nothing above them knows an architecture.
"""
