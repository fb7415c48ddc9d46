// Fetches the parts of guests from Debian's mirror, and with "lab" also the daemons that run beside them,
// because tests run without a network (apart.sh). It leaves files below .lab/ as they are.
// Usage: node lab/fetch.ts [lab]
import { chooseAccelerator } from './accelerator.ts'
import { DHCP_CLIENTS, ensurePackages } from './debian-packages.ts'
import { ensureGuestImage } from './guest-image.ts'
import { NETWORK_DAEMONS } from './network-daemons.ts'

await ensureGuestImage('small')
await ensureGuestImage('whole')
await ensureGuestImage('small', ['iproute2', ...DHCP_CLIENTS])
await ensureGuestImage('small', ['iproute2', 'perl-base'])
// Tried once here, instead of in each of the files that run at once.
await chooseAccelerator()
if (process.argv[2] === 'lab') await ensurePackages(NETWORK_DAEMONS)
