// The lab's containers may do what their manifest lets them, and no more: an example that passes here
// because it had too much would fail in a cluster.
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { run } from '../../kernel/run.ts'
import { newContainer, runInitContainer, type ContainerSpec } from '../../lab/container.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'

/** CAP_NET_ADMIN and CAP_NET_RAW of capabilities(7). */
const NET_ADMIN = 1n << 12n
const NET_RAW = 1n << 13n

describe('containers of the lab', () => {
  let netns: LabNetns

  beforeEach(async () => {
    netns = await newLabNetns('box')
  })
  afterEach(async () => {
    await netns[Symbol.asyncDispose]()
  })

  const toOptions = (spec: Partial<ContainerSpec>) => ({
    netnsName: netns.name,
    hostname: 'h1',
    spec: { name: 'shell', command: ['sleep', 'infinity'], ...spec },
    volumes: {},
  })

  const rows = [
    { name: 'asks for nothing', securityContext: {}, admin: false, raw: true, sysctl: false },
    {
      name: 'asks for NET_ADMIN',
      securityContext: { capabilities: { add: ['NET_ADMIN'] } },
      admin: true,
      raw: true,
      sysctl: false,
    },
    {
      name: 'wants none',
      securityContext: { capabilities: { drop: ['ALL'] } },
      admin: false,
      raw: false,
      sysctl: false,
    },
    {
      name: 'is privileged',
      securityContext: { privileged: true },
      admin: true,
      raw: true,
      sysctl: true,
    },
  ]
  for (const { name, securityContext, admin, raw, sysctl } of rows)
    it(`one that ${name} has just that`, async () => {
      await using container = await newContainer(toOptions({ securityContext }))
      const ask = async (script: string): Promise<string> =>
        run(container.toInsideArgv(['sh', '-c', script]))
      // The command itself, and what is run beside it.
      for (const process of ['1', 'self']) {
        const status = await ask(`grep CapEff /proc/${process}/status`)
        const effective = BigInt(`0x${status.trim().split('\t')[1] ?? ''}`)
        expect((effective & NET_ADMIN) !== 0n, `${process}: NET_ADMIN`).to.equal(admin)
        expect((effective & NET_RAW) !== 0n, `${process}: NET_RAW`).to.equal(raw)
      }
      const forwarding = '/proc/sys/net/ipv4/conf/lo/forwarding'
      expect(await ask(`echo 1 2>/dev/null >${forwarding} && echo yes || :`)).to.equal(
        sysctl ? 'yes\n' : '',
      )
      expect(await ask('hostname; ps -eo args= | head -1')).to.equal('h1\nsleep infinity\n')
    })

  it('an init container runs to its end, in the same network', async () => {
    const command = ['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/conf/lo/forwarding']
    await runInitContainer(toOptions({ command, securityContext: { privileged: true } }))
    expect(await netns.run(['cat', '/proc/sys/net/ipv4/conf/lo/forwarding'])).to.equal('1\n')
  })

  const faults = [
    { name: 'a command that is not there', spec: { command: ['nowhere'] }, want: /nowhere/ },
    {
      name: 'a volume that the pod has not',
      spec: { volumeMounts: [{ name: 'config', mountPath: '/etc/frr' }] },
      want: /no volume "config"/,
    },
  ]
  for (const { name, spec, want } of faults)
    it(`says so: ${name}`, async () => {
      const error = await newContainer(toOptions(spec)).catch((reason: unknown) => reason)
      expect(error).to.be.instanceOf(Error).with.property('message').that.matches(want)
    })
})
