// A VM's DHCP server, and its mute pod link, through the life of its agent and of its sandbox: always one, and none left behind.
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CommandError } from '../../../core/errors.ts'
import { run } from '../../../kernel/run.ts'
import { readConfinement } from '../../../lab/agent-confinement.ts'
import { startDaemon, type Daemon } from '../../../lab/daemon.ts'
import { newLabNode, type LabNode } from '../../../lab/node.ts'
import { leavesNothing } from '../../nothing-left.ts'
import { writeJsonFile } from '../../../store/json-file.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { newPodNetwork, type PodNetwork } from '../fixture-pod-network.ts'

async function listServers(): Promise<readonly string[]> {
  try {
    return (await run(['pgrep', '-x', 'dnsmasq'])).split('\n').filter((pid) => pid !== '')
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === 1) return []
    throw error
  }
}

async function listSleepers(): Promise<string> {
  return run(['sh', '-c', 'pgrep -u nobody -x sleep || :'])
}

interface SlowIp extends AsyncDisposable {
  readonly folder: string
  readonly begin: () => Promise<void>
  readonly hasBegun: () => boolean
}

/** An ip that takes its time once, in the namespace of another. */
async function newSlowIp(): Promise<SlowIp> {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-bin-'))
  const ours = await readlink('/proc/self/ns/net')
  const script = `#!/bin/sh
if [ "$(readlink /proc/self/ns/net)" != "${ours}" ] && mv ${folder}/slow ${folder}/begun 2>/dev/null; then
  sleep 1
fi
PATH=/usr/sbin:/sbin:/usr/bin:/bin exec ip "$@"
`
  await writeFile(join(folder, 'ip'), script, { mode: 0o755 })
  return {
    folder,
    begin: async () => writeFile(join(folder, 'slow'), ''),
    hasBegun: () => existsSync(join(folder, 'begun')),
    [Symbol.asyncDispose]: async () => rm(folder, { recursive: true }),
  }
}

/** Keeps a sandbox whose path is away. */
async function startSleeper({ pod }: PodNetwork): Promise<Daemon> {
  const sleeper = startDaemon(['nsenter', `--net=${pod.path}`, 'sleep', '60'])
  const command = `/proc/${sleeper.pid}/comm`
  await expectSoon('it is inside', async () => (await readFile(command, 'utf8')) === 'sleep\n')
  return sleeper
}

async function readLinkNames({ pod }: PodNetwork): Promise<readonly string[]> {
  const said = await pod.run(['ip', '-br', 'link', 'show'])
  return said.split('\n').flatMap((line) => /^[^\s@]+/.exec(line)?.[0] ?? [])
}

describe("a VM's DHCP server", function () {
  this.timeout(90_000)
  let node: LabNode
  leavesNothing(async (made) => {
    node = made.use(await newLabNode())
  })

  it('runs as nobody, and can do no more than it must', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    const [pid, ...more] = await listServers()
    expect(more).to.deep.equal([])
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    expect(/^Uid:.*$/m.exec(status)?.[0]).to.equal('Uid:\t65534\t65534\t65534\t65534')
    // NET_BIND_SERVICE, NET_ADMIN and NET_RAW of linux/capability.h.
    expect(/^CapEff:\s*(\w+)$/m.exec(status)?.[1]).to.equal('0000000000003400')
    expect(/^NoNewPrivs:\s*(\d)$/m.exec(status)?.[1]).to.equal('1')
  })

  it('ends with the agent, however that ends, and the next one starts it', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    await using _ = await network.open()
    const told = await network.askIpv4()
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const [before] = await listServers()
      await node.stopAgent(signal)
      await expectSoon('no server without an agent', async () => (await listServers()).length === 0)
      await node.startAgent()
      await expectSoon('the server is back', async () => (await listServers()).length === 1)
      expect((await listServers())[0]).to.not.equal(before)
      await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
      expect((await network.askIpv4()).get('ip')).to.equal(told.get('ip'))
    }
  })

  it('is started again when it dies, and its devices are made again', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    await network.pod.run(['ip', 'link', 'del', 'dev', 'lws0'])
    const check = await network.bind('CHECK')
    expect(check.output).to.include({ code: 105 })
    const [before = ''] = await listServers()
    await run(['kill', before])
    await expectSoon('another one runs', async () => {
      const [now] = await listServers()
      return now !== undefined && now !== before
    })
    await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
    await using _ = await network.open()
    expect((await network.askIpv4()).get('ip')).to.equal(network.addresses[0]?.split('/')[0])
  })

  it('goes with a DEL, and so do its devices', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    expect(await readLinkNames(network)).to.include.members(['tap0', 'lws0', 'lwp0'])
    expect((await network.bind('DEL')).exitCode).to.equal(0)
    expect(await listServers()).to.deep.equal([])
    expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
    expect(await network.pod.run(['nft', 'list', 'ruleset'])).to.equal('')
    expect((await network.checkPrimary()).exitCode).to.equal(0)
    await network.add()
    expect((await network.bind('CHECK')).exitCode).to.equal(0)
  })

  it('does not keep a sandbox that is gone without a DEL', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    await run(['ip', 'netns', 'del', network.pod.name])
    await expectSoon('the server ends', async () => (await listServers()).length === 0)
    // The kernel takes a namespace away with its last process: the node's end of the veth tells.
    await expectSoon("the pod's veth is gone", async () => {
      const ports = await run(['ip', '-br', 'link', 'show', 'master', 'l2wpn0'])
      return ports === ''
    })
    await run(['ip', 'netns', 'add', network.pod.name])
  })

  it('is an error where there is no dnsmasq', async () => {
    const folder = await run(['mktemp', '-d', '/tmp/l2w-bin-XXXXXX'])
    const path = folder.trim()
    await run([
      'sh',
      '-euc',
      'printf "#!/bin/sh\\necho no >&2; exit 3\\n" > "$1/dnsmasq"; chmod 755 "$1/dnsmasq" "$1"',
      'sh',
      path,
    ])
    try {
      await using other = await newLabNode({ pathFirst: path })
      await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4] })
      const answer = await network.bind('ADD')
      expect(answer.output).to.include({ code: 100 })
      expect(answer.output?.['msg']).to.include('DHCP server')
      expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
    } finally {
      await run(['rm', '-r', path])
    }
  })

  it('needs no more than deploy/ lets the agent do, and ends with such an agent, too', async () => {
    await using other = await newLabNode({ confine: await readConfinement() })
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4, 6] })
    await network.add()
    await using _ = await network.open()
    expect((await network.askIpv4()).get('mask')).to.equal('24')
    expect(other.readLog()).to.not.include('cannot keep its leases')
    expect((await network.bind('DEL')).exitCode).to.equal(0)
    expect(await listServers()).to.deep.equal([])
    await network.add()
    await other.stopAgent('SIGKILL')
    await expectSoon('no server without an agent', async () => (await listServers()).length === 0)
    await other.startAgent()
  })

  it('goes where the runtime knows its sandbox no more', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add()
    expect((await network.collectAll()).exitCode).to.equal(0)
    expect(await listServers()).to.deep.equal([])
    expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
  })

  it('leaves the pod link mute where the agent is killed in the middle, and an ADD goes well then', async () => {
    const folder = (await run(['mktemp', '-d', '/tmp/l2w-bin-XXXXXX'])).trim()
    // A server that never begins to serve.
    const script =
      'printf "#!/bin/sh\\nexec sleep 60\\n" > "$1/dnsmasq"; chmod 755 "$1/dnsmasq" "$1"'
    await run(['sh', '-euc', script, 'sh', folder])
    try {
      await using other = await newLabNode({ pathFirst: folder })
      await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4] })
      const adding = network.bind('ADD')
      const readFilters = async (): Promise<string> =>
        network.pod.run(['tc', 'filter', 'show', 'dev', 'eth0', 'egress'])
      await expectSoon('a server is started', async () => (await listSleepers()) !== '')
      await other.stopAgent('SIGKILL')
      expect((await adding).output).to.include({ code: 11 })
      expect(await readFilters()).to.include('direct-action')
      await run(['rm', `${folder}/dnsmasq`])
      await other.startAgent()
      expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
      expect(await readFilters(), 'still').to.include('direct-action')
      await network.add()
      await using _ = await network.open()
      expect((await network.askIpv4()).get('mask')).to.equal('24')
    } finally {
      await run(['rm', '-r', folder])
    }
  })

  it('makes a pod link mute again at its start, where somebody took that away', async () => {
    await using network = await newPodNetwork(node, { plugin: 'bridge', families: [4] })
    await network.add({ dhcp: false })
    await network.pod.run(['tc', 'filter', 'del', 'dev', 'eth0', 'egress'])
    expect((await network.bind('CHECK')).output?.['msg']).to.include('"eth0" is not mute')
    await node.stopAgent('SIGKILL')
    await node.startAgent()
    await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
    expect(await listServers()).to.deep.equal([])
  })

  it('is not started by an ADD that the stopping agent still answers, or ends with it', async () => {
    await using slow = await newSlowIp()
    await using other = await newLabNode({ pathFirst: slow.folder })
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4, 6] })
    await slow.begin()
    const adding = network.bind('ADD')
    await expectSoon('its steps are under way', slow.hasBegun)
    await other.stopAgent('SIGTERM')
    expect((await adding).exitCode, (await adding).stdout).to.equal(0)
    expect(await listServers()).to.deep.equal([])
    await other.startAgent()
    await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
  })

  it('is not made ready behind the back of a DEL', async () => {
    await using slow = await newSlowIp()
    await using other = await newLabNode({ pathFirst: slow.folder })
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4] })
    await network.add()
    for (const dev of ['tap0', 'lws0']) await network.pod.run(['ip', 'link', 'del', 'dev', dev])
    await other.stopAgent('SIGKILL')
    await slow.begin()
    await other.startAgent()
    await expectSoon('all of it is being made again', slow.hasBegun)
    expect((await network.bind('DEL')).exitCode).to.equal(0)
    expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
    // What is under way ends first.
    await other.stopAgent('SIGTERM')
    expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
    await other.startAgent()
  })

  it('keeps no DEL waiting where the kernel refuses to end it', async () => {
    const confine = ['setpriv', '--bounding-set', '-kill', '--inh-caps', '-all']
    await using other = await newLabNode({ confine })
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4] })
    await network.add()
    const [server = ''] = await listServers()
    try {
      expect((await network.bind('DEL')).exitCode).to.equal(0)
      await expectLogged(other, ["cannot end a VM's DHCP server", 'EPERM'])
      expect(await readLinkNames(network)).to.have.members(['lo', 'eth0'])
      expect(await listServers()).to.deep.equal([server])
    } finally {
      await run(['kill', server])
    }
  })

  it('waits for no sandbox whose path cannot be looked at', async () => {
    await using other = await newLabNode()
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4] })
    await network.add()
    await other.stopAgent('SIGKILL')
    const folder = join(other.stateDir, 'attachments')
    const document = JSON.parse(await readFile(join(folder, 'c1@net1.json'), 'utf8')) as object
    // A link to itself: ELOOP.
    const path = join(other.folder, 'loop')
    await symlink(path, path)
    const netns = { path, inode: 1, bootId: '' }
    await writeJsonFile(join(folder, 'c0@net1.json'), { ...document, containerID: 'c0', netns })
    await other.startAgent()
    await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
    await expectLogged(other, 'ELOOP')
  })

  it('comes back where the path of its sandbox was away for a while', async () => {
    // Its next look at all that there is would take the attachment for gone.
    await using other = await newLabNode({ more: ['--check-seconds', '3600'] })
    await using network = await newPodNetwork(other, { plugin: 'bridge', families: [4] })
    await network.add()
    const inside = await startSleeper(network)
    try {
      await run(['umount', network.pod.path])
      await expectSoon('the server ends', async () => (await listServers()).length === 0)
      await run(['mount', '--bind', `/proc/${inside.pid}/ns/net`, network.pod.path])
      await expectSoon('the server is back', async () => (await listServers()).length === 1)
      await expectSoon('CHECK says so', async () => (await network.bind('CHECK')).exitCode === 0)
      expect(other.readLog()).to.not.include('dropping an attachment')
    } finally {
      await inside.end('SIGKILL')
    }
  })
})
