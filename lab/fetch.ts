// Fetches from Debian's mirror what guests are made of, and with "examples" the daemons that they run:
// tests run where there is no network (apart.sh). What is below .lab/ already is left as it is.
// Usage: node lab/fetch.ts [examples]
import { chooseAccelerator } from './accelerator.ts'
import { DHCP_CLIENTS, ensurePackages } from './debian-packages.ts'
import { ensureGuestImage } from './guest-image.ts'
import { NETWORK_DAEMONS } from './network-daemons.ts'

await ensureGuestImage('small')
await ensureGuestImage('whole')
await ensureGuestImage('small', ['iproute2', ...DHCP_CLIENTS])
// Tried here once instead of by each of the files that run at once.
await chooseAccelerator()
if (process.argv[2] === 'examples') {
  await ensurePackages()
  await ensurePackages(NETWORK_DAEMONS)
}
