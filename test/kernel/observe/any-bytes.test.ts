// Aliases and names of devices are whatever their owner wrote: no byte of them hides another device, keeps an agent from starting or a far end
// from being plugged in, and nothing that a pod makes the kernel tell takes another's cable out of the agent's sight.
import { expect } from 'chai'
import fc from 'fast-check'
import { before, describe, it } from 'mocha'

import { toPrintable } from '../../../core/printable.ts'
import { listDefaultDevices } from '../../../kernel/observe/addresses.ts'
import { listPodLinks } from '../../../kernel/observe/links.ts'
import { observeNetns } from '../../../kernel/observe/netns.ts'
import { observeNode } from '../../../kernel/observe/node.ts'
import { run } from '../../../kernel/run.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import {
  expectPassing,
  hasCarrier,
  ID,
  plug,
  setOwner,
  toHostEnd,
  unplug,
  useWall,
  type End,
} from '../fixture-wall.ts'

const ALL_BYTES = Buffer.from(Array.from({ length: 255 }, (_, at) => at + 1))
/** What dev_valid_name of the kernel refuses: white space as it knows it, "/" and ":"; and "%" is a pattern to it. */
const NOT_IN_NAMES = new Set([...Buffer.from('\t\n\v\f\r /:%'), 0xa0])
const NAME_BYTES = ALL_BYTES.filter((byte) => !NOT_IN_NAMES.has(byte))
const NO_QUESTIONS = {
  hooks: [{ dev: 'lo', hook: 'ingress' }],
  server: undefined,
  sysctls: [],
} as const

const anyOf = (most: number, of: readonly number[]): fc.Arbitrary<readonly number[]> =>
  fc.array(fc.constantFrom(...of), { minLength: 1, maxLength: most })

/** By the shell, as arguments of a process are text to us. */
async function ip(netns: LabNetns, words: readonly string[], last: Uint8Array): Promise<void> {
  const octal = [...last].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  // The shell takes line feeds at the end away: one more byte, which it is to take.
  const script = 'x=$(printf "$1"; echo .); shift; exec "$@" "${x%.}"'
  await netns.run(['sh', '-c', script, 'sh', octal, 'ip', ...words])
}

async function setAlias(netns: LabNetns, dev: string, alias: Uint8Array): Promise<void> {
  await ip(netns, ['link', 'set', 'dev', dev, 'alias'], alias)
}

/** What a device's other names are the kernel does not look at; iproute2 does. */
async function addAltname(netns: LabNetns, dev: string, name: string): Promise<void> {
  const index = (await netns.run(['cat', `/proc/net/dev_snmp6/${dev}`])).match(
    /^ifIndex\s+(\d+)/,
  )?.[1]
  const script = `
    my ($index, $name) = @ARGV;
    my $attribute = sub { my $l = 4 + length $_[1]; pack('SS', $l, $_[0]) . $_[1] . "\\0" x (-$l % 4) };
    my $body = pack('CCSlLL', 0, 0, 0, $index, 0, 0) . $attribute->(0x8000 | 52, $attribute->(53, "$name\\0"));
    socket(my $netlink, 16, 3, 0) or die;
    send($netlink, pack('LSSLL', 16 + length $body, 108, 0x605, 1, 0) . $body, 0) or die;
    recv($netlink, my $answer, 4096, 0);
    exit(unpack('x16 l', $answer) == 0 ? 0 : 1);`
  await netns.run(['perl', '-e', script, index ?? '', name])
}

function toNames(from: number): string {
  return Array.from({ length: 7 }, (_, at) => `altname ${String(from + at).padEnd(120, 'x')}`).join(
    ' ',
  )
}

/** Makes devices with as many names as the kernel takes, until it takes 5 MB to tell of them. */
async function fill(netns: LabNetns): Promise<void> {
  const lines = Array.from({ length: 90 }, (_, device) => [
    `link add br${device} type bridge`,
    ...Array.from(
      { length: 66 },
      (_one, at) => `link property add dev br${device} ${toNames((device * 66 + at) * 7)}`,
    ),
  ])
  await run(['ip', '-n', netns.name, '-batch', '-'], {
    input: `${lines.flat().join('\n')}\n`,
    timeoutMs: 60_000,
  })
}

describe('what a tenant can write', function () {
  this.timeout(90_000)

  describe('is read', () => {
    leavesNothing()

    it('whatever byte is in an alias or a name', async () => {
      await using netns = await newLabNetns('bytes')
      await setAlias(netns, 'lo', ALL_BYTES)
      const names = Array.from({ length: Math.ceil(NAME_BYTES.length / 13) }, (_, at) =>
        Buffer.from([0x61 + at, ...NAME_BYTES.subarray(at * 13, (at + 1) * 13), 0x2e]),
      )
      for (const name of names) {
        await netns.run(['ip', 'link', 'add', 'l2wnew', 'type', 'bridge'])
        await ip(netns, ['link', 'set', 'dev', 'l2wnew', 'name'], name)
      }
      const want = ['lo', ...names.map((name) => name.toString('utf8'))]
      const links = await listPodLinks(run, netns.path)
      expect(links.map(({ name }) => name)).to.have.members(want)
      expect(links.find(({ name }) => name === 'lo')?.alias).to.equal(ALL_BYTES.toString('utf8'))
      const seen = await observeNetns(run, netns.path, NO_QUESTIONS)
      expect([...seen.links.keys()]).to.have.members(want)
      expect([...seen.addresses.keys()]).to.have.members(want)
      const inside = await observeNode(async (argv, options) =>
        run(['nsenter', `--net=${netns.path}`, ...argv], options),
      )
      expect([...inside.links.keys()]).to.deep.equal([])
    })

    it('in whatever order', async () => {
      await using netns = await newLabNetns('bytes')
      await netns.run(['ip', 'link', 'add', 'l2wold', 'type', 'bridge'])
      await netns.run(['ip', 'link', 'set', 'dev', 'l2wold', 'alias', 'ours'])
      await fc.assert(
        fc.asyncProperty(
          anyOf(255, [...ALL_BYTES]),
          anyOf(15, [...NAME_BYTES]),
          async (alias, name) => {
            fc.pre(!['.', '..', 'lo', 'l2wold'].includes(Buffer.from(name).toString()))
            await setAlias(netns, 'lo', Buffer.from(alias))
            await netns.run(['ip', 'link', 'add', 'l2wnew', 'type', 'bridge'])
            await ip(netns, ['link', 'set', 'dev', 'l2wnew', 'name'], Buffer.from(name))
            const [, ours, theirs] = await listPodLinks(run, netns.path)
            await ip(netns, ['link', 'del', 'dev'], Buffer.from(name))
            expect(ours).to.include({ name: 'l2wold', alias: 'ours' })
            expect(theirs?.name).to.equal(Buffer.from(name).toString('utf8'))
          },
        ),
        { numRuns: 25 },
      )
    })

    it('where the name is that of the device that default routes lead out through', async () => {
      await using netns = await newLabNetns('bytes')
      const name = Buffer.from('a"#\u001B\\')
      await netns.run(['ip', 'link', 'add', 'l2wnew', 'type', 'bridge'])
      await ip(netns, ['link', 'set', 'dev', 'l2wnew', 'name'], name)
      await ip(netns, ['link', 'set', 'up', 'dev'], name)
      await ip(netns, ['address', 'add', '10.9.9.2/24', 'dev'], name)
      await netns.run(['ip', 'route', 'add', 'default', 'via', '10.9.9.1'])
      expect(await listDefaultDevices(run, netns.path)).to.deep.equal([name.toString()])
    })
  })

  describe('keeps nobody else waiting', () => {
    const getWall = useWall()
    let a: End
    let b: End

    before(() => {
      const { n1, spaces } = getWall()
      a = { on: n1, netns: spaces[0], pod: 'h1' }
      b = { on: n1, netns: spaces[1], pod: 'h2' }
    })

    it('in the log, which it writes in characters that show', async () => {
      await plug(a, { 'l2w\u001B[31m\u009B31m\u202E\u2028\u200B': 1 })
      await unplug(a)
      const lines = a.on.node.readLog().split('\n')
      expect(
        lines.filter((line) => line.includes(String.raw`l2w\u001b[31m\u009b31m\u202e`)),
      ).to.have.lengthOf(1)
      expect(lines.map((line) => toPrintable(line))).to.deep.equal(lines)
    })

    it('where an agent starts, or a far end is plugged in', async () => {
      await plug(a)
      await setAlias(a.netns, 'lo', ALL_BYTES)
      await setAlias(a.on.netns, 'lo', ALL_BYTES)
      await a.on.node.stopAgent('SIGTERM')
      await a.on.node.startAgent()
      await plug(b)
      await expectPassing(a, b)
      await expectPassing(b, a)
      await setOwner(a, 'down')
      await expectSoon('b has no carrier', async () => !(await hasCarrier(b)))
      await unplug(b)
      await unplug(a)
      for (const { run: inside } of [a.netns, a.on.netns])
        await inside(['ip', 'link', 'set', 'dev', 'lo', 'alias', ''])
    })

    it('where a pod has names without end', async () => {
      await using full = await newLabNetns('full', { ipv6: false })
      const end: End = { on: a.on, netns: full, pod: 'h1' }
      await plug(end)
      await plug(b)
      await expectPassing(end, b)
      await fill(full)
      // Its host end is down then, and says nothing of its owner.
      await setOwner(b, 'down')
      await expectSoon('it has no carrier', async () => !(await hasCarrier(end)))
      await setOwner(end, 'down')
      await expectSoon('it is told', () => a.on.node.readLog().includes('expected at most 4 MB'))
      for (const one of [end, b]) await setOwner(one, 'up')
      for (const one of [end, b]) await expectSoon('both have it', async () => hasCarrier(one))
      await unplug(b)
      await unplug(end)
    })

    it("where it looks as if the kernel had told of another's devices", async () => {
      await using other = await newLabNetns('forger')
      const forger: End = { on: a.on, netns: other, pod: 'h3' }
      await plug(a)
      await plug(b)
      await expectPassing(a, b)
      await forger.on.node.mustCall(
        { cniVersion: '1.1.0', name: 'forger', type: 'l2wire' },
        {
          command: 'ADD',
          containerID: 'forger',
          netns: other.path,
          ifname: 'eth1',
          args: 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h3',
        },
      )
      const index = /^(\d+):/.exec(
        await a.on.netns.run(['ip', '-o', 'link', 'show', 'dev', toHostEnd(a)]),
      )?.[1]
      // Our own end of its cable is down then, and says nothing of its owner.
      await setOwner(b, 'down')
      await expectSoon('a has no carrier', async () => !(await hasCarrier(a)))
      await addAltname(
        other,
        'eth1',
        `x\n[nsid current]Deleted ${index}: ${toHostEnd(a)}@if2: <UP>`,
      )
      await other.run(['ip', 'link', 'set', 'dev', 'eth1', 'down'])
      await other.run(['ip', 'link', 'set', 'dev', 'eth1', 'up'])
      await setOwner(a, 'down')
      await expectSoon('the wire says that a is down', async () => {
        const ends = (await getWall().store.read(ID))?.ends ?? []
        return ends.some(({ holder, isUp }) => holder === 'pod/h1' && !isUp)
      })
      await setOwner(b, 'up')
      await expectSoon('b has no carrier', async () => !(await hasCarrier(b)))
      await setOwner(a, 'up')
      await expectSoon('both have carrier', async () => (await hasCarrier(a)) && hasCarrier(b))
      await forger.on.node.mustCall(
        { cniVersion: '1.1.0', name: 'forger', type: 'l2wire' },
        { command: 'DEL', containerID: 'forger', netns: other.path, ifname: 'eth1', args: '' },
      )
      await unplug(b)
      await unplug(a)
    })
  })
})
