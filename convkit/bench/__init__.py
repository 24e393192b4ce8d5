"""Measure convkit beside whatever other libraries are installed: `convkit bench`.

Nets, convolutions and single operations are described once and built for every library. Each
library works in a process of its own; the processes take turns.
"""
