#!/bin/sh
# Passes when the two VMs reach each other over their cable.
. "$(dirname "$0")/../ask.sh"

# reach FROM TO
reach() {
  on "$1" ping -c 3 -W 1 -I ge0 "$2"
}

expect 'r1 reaches r2' reach r1 10.0.0.2
expect 'r2 reaches r1' reach r2 10.0.0.1
