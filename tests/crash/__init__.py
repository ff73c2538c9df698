"""Crashes of the built binary: SIGKILL at random moments under load, and what must hold all the same.

`cluster` is what is killed, `workload` what it has to do meanwhile, `clients` who asks for it, `life` one data directory from
its first start to its last, `check` what must hold in the end.

Every job writes one line when it begins and one when it ends into a file that all share, the journal; what the harness sees
and does goes there as well. Each line is one write with O_APPEND, so that the order of the file is the order of events, and
no clock is needed.
"""
