#!/bin/sh
# Passes when the two PCs of one lab reach each other: kubectl's current namespace says which lab.
. "$(dirname "$0")/../ask.sh"

# reach FROM TO
reach() {
  on "$1" ping -c 2 -W 1 "$2" >/dev/null
}

expect 'pc1 reaches pc2' reach pc1 10.0.0.2
expect 'pc2 reaches pc1' reach pc2 10.0.0.1
