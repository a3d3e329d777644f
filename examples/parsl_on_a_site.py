"""Parsl on a site: the machine's file gives Parsl its configuration, and Python functions run on its nodes.

    $ python parsl_on_a_site.py               # the machine that we are on
    $ python parsl_on_a_site.py polaris       # another one by its name: `psij-run site list`

The arguments of `parsl_config` are what a user of the machine chooses: `num_nodes`, `wall_time_min="1h"`, `max_blocks`,
and, where the site asks for them, `queue` and `project`. How many workers there are on a node, which cores and GPUs
each has, and which address they call, is filled in.
"""

import sys

import parsl

import psij_parsl


@parsl.python_app
def square(number):
    import socket

    return number**2, socket.gethostname()


if __name__ == "__main__":
    machine = psij_parsl.site(sys.argv[1] if sys.argv[1:] else None)
    with parsl.load(machine.parsl_config(num_nodes=1, max_blocks=1, wall_time_min=10)):
        answers = [future.result() for future in [square(number) for number in range(20)]]
    hosts = {host for _, host in answers}
    print("the sum of the squares is", sum(value for value, _ in answers), "and was computed on", *sorted(hosts))
