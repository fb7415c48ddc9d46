// A program for launcher.test.ts to kill: holds a launcher in the namespace named by its argument, and says
// when the domain runs.
import { newLauncher } from '../../lab/launcher.ts'
import { toVmi } from '../../lab/domain-vmi.ts'

const [, , netnsName = ''] = process.argv
const devices = { interfaces: [{ name: 'mgmt', masquerade: {} }] }
const spec = { domain: { devices }, networks: [{ name: 'mgmt', pod: {} }] }
const vmi = toVmi({
  kind: 'VirtualMachine',
  metadata: { name: 'killed' },
  spec: { template: { spec } },
})
await using launcher = await newLauncher({ netnsName, vmi })
process.stdout.write(`running ${launcher.definedXml.length}\n`)
await new Promise((resolve) => setTimeout(resolve, 60_000))
