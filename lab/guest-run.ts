// Runs a command in a guest, as "kubectl exec" does in a container: guest-run.ts SOCKET COMMAND...
import { toShell } from './cloud-init.ts'
import { connectGuest } from './guest.ts'
import { GUEST_PRELUDE } from './guest-packages.ts'

const [, , socket = '', ...command] = process.argv
await using guest = await connectGuest(socket)
const script = GUEST_PRELUDE + toShell(command)
const { code, stdout, stderr } = await guest.exec(script, { timeoutMs: 60_000 })
process.stdout.write(stdout)
process.stderr.write(stderr)
process.exitCode = code
