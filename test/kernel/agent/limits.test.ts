// One tenant against the node's agent: whatever it writes and however often it asks, the agent stays, and the
// others get their turn.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CONFIG_BYTES_MAX, LINE_BYTES_MAX } from '../../../core/cni/protocol.ts'
import { run } from '../../../kernel/run.ts'
import { runCommand } from '../../../lab/command.ts'
import { getMapping, readManifest, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { CONFIG, toCall } from '../fixture-pods.ts'
import { useIpam } from '../fixture-ipam.ts'

interface Container {
  readonly resources: { readonly limits: { readonly memory: string } }
}

/** What its DaemonSet lets the agent have. */
async function readMemoryLimitMb(): Promise<number> {
  const daemonSet = await readManifest('deploy/base/agent.yaml')
  const { containers } = getMapping(daemonSet, 'spec', 'template', 'spec')
  const [agent] = containers as readonly Container[]
  return Number(/^(\d+)Mi$/.exec(agent?.resources.limits.memory ?? '')?.[1])
}

async function readPeakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}

/** What the agent answers to a line, as whoever may write to its socket sends it. */
async function exchange(socket: string, line: string): Promise<Manifest> {
  return new Promise((resolve, reject) => {
    const client = connect(socket, () => client.write(`${line}\n`))
    let text = ''
    client.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    client.on('end', () => {
      client.end()
      resolve(JSON.parse(text) as Manifest)
    })
    client.on('error', reject)
  })
}

function toLine(command: string, config: Manifest): string {
  const args = { command, containerID: 'c1', netns: '/run/netns/l2w-none', ifname: 'eth1' }
  return JSON.stringify({ protocol: 1, args: { ...args, path: '/x' }, config })
}

/** A configuration of so many bytes, of as many keys as that takes: each costs the agent more than its bytes. */
function toWide(bytes: number): Manifest {
  const keys = Math.floor((bytes - JSON.stringify(CONFIG).length) / '"k00000":0,'.length)
  const more = Array.from({ length: keys }, (_, at) => [`k${String(at).padStart(5, '0')}`, 0])
  return { ...CONFIG, ...Object.fromEntries(more) }
}

function toSlowNetwork(id: number): Manifest {
  return { ...CONFIG, name: `w${id}`, ipam: { type: 'l2w-slow' } }
}

async function setFiles(node: LabNode, files: number): Promise<void> {
  await run(['prlimit', '--pid', String(node.readPid()), `--nofile=${files}:`])
}

describe('one tenant', function () {
  this.timeout(180_000)

  describe('with big configurations', () => {
    let node: LabNode
    leavesNothing(async (made) => {
      node = made.use(await newLabNode())
    })

    for (const command of ['ADD', 'DEL', 'CHECK'])
      for (const bytes of [CONFIG_BYTES_MAX + 1_000, 1_500_000, LINE_BYTES_MAX + 1_000])
        it(`is told of a ${command} of ${bytes} bytes that this is too much`, async () => {
          const config = { ...CONFIG, prevResult: { pad: 'x'.repeat(bytes) } }
          const { isError, output } = await exchange(node.socket, toLine(command, config))
          expect(isError).to.equal(true)
          expect(output).to.include({ code: 6 })
          expect((output as Manifest)['msg']).to.match(
            /has (more than )?\d+ bytes, expected at most/,
          )
        })

    it('by the hundred costs neither the memory nor the log of the node', async () => {
      const before = node.readLog().length
      const wide = toLine('ADD', toWide(CONFIG_BYTES_MAX))
      const long = toLine('ADD', toWide(1_500_000))
      const asked = Array.from({ length: 100 }, async (_, at) =>
        exchange(node.socket, at % 4 === 0 ? long : wide),
      )
      const answers = (await Promise.all(asked)).map(({ output }) => output as Manifest)
      const codes = new Set(answers.map(({ code }) => code))
      // Those that fit go as far as looking for their namespace.
      expect([...codes]).to.have.members([3, 6])
      expect(await readPeakMb(node.readPid())).to.be.below((await readMemoryLimitMb()) / 2)
      expect(node.readLog().length - before).to.be.below(100 * 3_000)
      await expectLogged(node, /"k00009"\],"count":\d+,.*unknown keys are ignored/)
    })

    it('does not keep a runtime from its long list', async () => {
      const list = Array.from({ length: 10_000 }, (_, at) => ({
        containerID: String(at).padStart(64, 'c'),
        ifname: 'eth1',
      }))
      const line = toLine('GC', { ...CONFIG, 'cni.dev/valid-attachments': list })
      const answers = await Promise.all(
        Array.from({ length: 12 }, async () => exchange(node.socket, line)),
      )
      for (const answer of answers) expect(answer).to.deep.equal({ protocol: 1, isError: false })
      expect(await readPeakMb(node.readPid())).to.be.below((await readMemoryLimitMb()) / 2)
    })
  })

  describe('with an IPAM plugin that takes its time', () => {
    const { place, toCall: toIpamCall, writePlugin } = useIpam()

    it('keeps nobody else waiting, ADD or DEL, and all of it comes to its end', async () => {
      const { node, a, b, folder } = place()
      const asked = join(folder, 'asked')
      await mkdir(asked)
      const answer = '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'
      const wait = `while [ ! -e "${folder}/go" ]; do sleep 0.1; done`
      await writePlugin(
        'l2w-slow',
        `: > "${asked}/$CNI_CONTAINERID"; ${wait}; echo '${answer}'; exit`,
      )
      const ids = Array.from({ length: 24 }, (_, at) => at)
      const toSlow = (command: string, id: number) => ({
        ...toIpamCall(command, a, `s${id}`),
        ifname: `s${id}`,
      })
      const adding = ids.map(async (id) => node.mustCall(toSlowNetwork(id), toSlow('ADD', id)))
      await expectSoon('all wait', async () => (await readdir(asked)).length === ids.length)
      await node.mustCall(CONFIG, toIpamCall('ADD', b, 'c1'))
      await node.mustCall(CONFIG, toIpamCall('DEL', b, 'c1'))
      await writeFile(join(folder, 'go'), '')
      await Promise.all(adding)
      for (const id of ids)
        await node.mustCall({ ...toSlowNetwork(id), ipam: {} }, toSlow('DEL', id))
      for (const file of ['go', 'asked']) await rm(join(folder, file), { recursive: true })
    })
  })

  describe('whose pods take all file descriptors', () => {
    let node: LabNode
    const pods: LabNetns[] = []
    leavesNothing(async (made) => {
      node = made.use(await newLabNode({ confine: ['prlimit', '--nofile=64:64'] }))
      for (let at = 0; at < 12; at += 1) pods.push(made.use(await newLabNetns(`p${at}`)))
    })
    const countFiles = async (): Promise<number> =>
      (await readdir(`/proc/${node.readPid()}/fd`)).length

    it('has them for as long as that takes, and DELs come through', async () => {
      const [pod] = pods as [LabNetns]
      await node.mustCall(CONFIG, toCall('ADD', pod, 'c1'))
      await node.mustCall(CONFIG, toCall('DEL', pod, 'c1'))
      const pid = node.readPid()
      const before = await countFiles()
      // Four interfaces of each pod, by 48 plugins at once.
      const calls = pods.flatMap((netns, at) =>
        ['e0', 'e1', 'e2', 'e3'].map((ifname) => ({
          config: { ...CONFIG, name: `w${Math.floor(at / 2)}-${ifname}` },
          toCall: (command: string) => toCall(command, netns, `c${at}`, ifname),
        })),
      )
      const dels = await Promise.all(
        calls.map(async ({ config, toCall: to }) => {
          await node.call(config, to('ADD'))
          return node.call(config, to('DEL'))
        }),
      )
      for (const { exitCode, stdout } of dels) expect(exitCode, stdout).to.equal(0)
      await expectSoon('it has its files back', async () => (await countFiles()) <= before)
      await node.mustCall(CONFIG, toCall('ADD', pod, 'c1'))
      await node.mustCall(CONFIG, toCall('DEL', pod, 'c1'))
      expect(node.readPid()).to.equal(pid)
      await expectSoon('nothing left', async () => (await node.listDocuments()).length === 0)
    })

    it('is seen by the probe that keeps agents alive, and by that which says that one can plug', async () => {
      await setFiles(node, (await countFiles()) + 8)
      for (const command of ['alive', 'ready']) {
        const { exitCode, stderr } = await runCommand('l2wire-node', [
          command,
          '--socket',
          node.socket,
        ])
        expect(exitCode, command).to.equal(1)
        expect(stderr).to.include('Cannot run a child process')
      }
      await setFiles(node, 64)
      for (const command of ['alive', 'ready'])
        expect(
          (await runCommand('l2wire-node', [command, '--socket', node.socket])).exitCode,
          command,
        ).to.equal(0)
    })
  })
})
