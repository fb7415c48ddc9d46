// How l2wire leaves a node: as it was before, once nothing is plugged in; by force, the cables first
// and the plugins when the last pod has gone.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../core/name.ts'
import { callPlugin, type CniCall } from '../../lab/cni.ts'
import { runCommand, startCommand, type Ended } from '../../lab/command.ts'
import { newLabKubelet } from '../../lab/kubelet.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { expectSoon } from '../expect-soon.ts'
import { withoutOperstate } from '../without-operstate.ts'

const UNDERLAY = 'underlay0'

/** What a node's pods are called here, by the wire and the node of each. */
interface Plug {
  readonly node: LabNode
  readonly pod: LabNetns
  readonly wire: string
}

function toConfig(wire: string) {
  return { cniVersion: '1.1.0', name: wire, type: 'l2wire' }
}

function toCall(command: string, { pod }: Plug): CniCall {
  return { command, containerID: pod.name, netns: pod.path, ifname: 'eth1' }
}

describe('l2wire-node uninstall', function () {
  this.timeout(90_000)
  /** What a node has of ours in folders: plugins, and what its network daemons are told. */
  let folders = { plugins: '', networkManager: '', networkd: '' }
  let made: AsyncDisposableStack

  beforeEach(async () => {
    made = new AsyncDisposableStack()
    const root = await mkdtemp(join(tmpdir(), 'l2w-host-'))
    made.defer(async () => rm(root, { recursive: true, force: true }))
    folders = {
      plugins: join(root, 'plugins'),
      networkManager: join(root, 'conf.d'),
      networkd: join(root, 'network'),
    }
    for (const folder of Object.values(folders)) {
      await mkdir(folder)
      await writeFile(join(folder, 'bridge'), 'not ours')
    }
  })
  afterEach(async () => made.disposeAsync())

  const toOptions = (): readonly string[] => [
    `--plugins=${folders.plugins}`,
    `--network-manager=${folders.networkManager}`,
    `--networkd=${folders.networkd}`,
  ]
  const runTool = async (netns: LabNetns, ...argv: readonly string[]): Promise<Ended> =>
    runCommand('l2wire-node', [...argv, ...toOptions()], { netns })
  /** All that an installation may have changed about a node. */
  const takeSnapshot = async (netns: LabNetns): Promise<Readonly<Record<string, unknown>>> => ({
    links: withoutOperstate(await netns.run(['ip', '-br', 'link', 'show'])),
    linkDetails: listDetails(await netns.run(['ip', '-j', '-d', 'link', 'show'])),
    // An address of IPv6 is tentative for a moment.
    addresses: (await netns.run(['ip', '-o', 'address', 'show'])).replaceAll(' tentative', ''),
    nft: await netns.run(['nft', 'list', 'ruleset']),
    qdiscs: await netns.run(['tc', 'qdisc', 'show']),
    mounts: await readFile('/proc/self/mounts', 'utf8'),
    folders: await Promise.all(Object.values(folders).map(readFolder)),
  })

  const newNodes = async (): Promise<readonly [LabNetns, LabNetns]> => {
    const one = made.use(await newLabNetns('node1'))
    const other = made.use(await newLabNetns('node2'))
    const peer = ['peer', 'name', UNDERLAY, 'netns', other.path]
    await one.run(['ip', 'link', 'add', 'name', UNDERLAY, 'type', 'veth', ...peer])
    for (const [at, netns] of [one, other].entries()) {
      await netns.run(['ip', 'address', 'add', `192.0.2.${at + 1}/24`, 'dev', UNDERLAY])
      await netns.run(['ip', 'link', 'set', 'dev', UNDERLAY, 'up'])
    }
    // A device that is called like ours and is not.
    await one.run(['ip', 'link', 'add', 'name', 'lw0123456789abc', 'type', 'bridge'])
    await one.run(['nft', 'add', 'table', 'inet', 'foreign'])
    return [one, other]
  }

  it('refuses while an agent runs or a pod is plugged in, and leaves nothing once it may', async () => {
    const [netns] = await newNodes()
    const before = await takeSnapshot(netns)
    await runTool(netns, 'install', '--socket=/run/l2wire/other.sock')
    const node = made.use(await newLabNode({ netns, address: '192.0.2.1' }))
    const pod = await newLabNetns('pod')
    const plug = { node, pod, wire: 'w1' }
    made.defer(async () => removePod(plug))
    await node.mustCall(toConfig('w1'), toCall('ADD', plug))

    const running = await runTool(netns, ...toUninstall(node))
    expect(running.exitCode).to.equal(1)
    expect(running.stderr).to.include('another agent holds it')

    await node.stopAgent('SIGTERM')
    const plugged = await takeSnapshot(netns)
    const refused = await runTool(netns, ...toUninstall(node))
    expect(refused.exitCode).to.equal(1)
    expect(refused.stderr).to.include('eth1').and.include('w1').and.include(pod.path)
    expect(refused.stderr).to.include('--force')
    expect(await takeSnapshot(netns)).to.deep.equal(plugged)

    await node.startAgent()
    await node.mustCall(toConfig('w1'), toCall('DEL', plug))
    await node.stopAgent('SIGKILL')
    await removePod(plug)
    // As agents to 0.3.0 had it.
    await writeFile(join(node.stateDir, 'identity'), 'node1\n')
    const { exitCode, stderr } = await runTool(netns, ...toUninstall(node))
    expect(exitCode, stderr).to.equal(0)
    expect(await takeSnapshot(netns)).to.deep.equal(before)
    expect([node.stateDir, node.socket].filter((path) => existsSync(path))).to.deep.equal([])
    expect((await runTool(netns, ...toUninstall(node))).exitCode, 'twice').to.equal(0)
  })

  it('takes cables out by force; their pods can be deleted, and then nothing is left', async () => {
    const [netns, far] = await newNodes()
    const before = await takeSnapshot(netns)
    await runTool(netns, 'install')
    const installed = await takeSnapshot(netns)
    const storeFolder = join(folders.plugins, '../store')
    const node = made.use(await newLabNode({ netns, address: '192.0.2.1', storeFolder }))
    const farNode = made.use(
      await newLabNode({ netns: far, address: '192.0.2.2', storeFolder, nodeName: 'n2' }),
    )
    const plugs: Plug[] = []
    for (const [on, wire] of [
      [node, 'near'],
      [node, 'near'],
      [node, 'far'],
      [farNode, 'far'],
    ] as const) {
      const plug = { node: on, pod: await newLabNetns(wire), wire }
      made.defer(async () => removePod(plug))
      await on.mustCall(toConfig(wire), toCall('ADD', plug))
      plugs.push(plug)
    }
    const here = plugs.filter((plug) => plug.node === node)
    const vm = await plugVm(node)
    made.defer(async () => removePod(vm))
    const joins = await readJoins(vm.pod)
    const listOurs = async (): Promise<string> => netns.run(['ip', '-br', 'link', 'show'])
    await expectSoon('a tunnel', async () => /^lx/m.test(await listOurs()))
    await node.stopAgent('SIGKILL')

    const forced = startCommand('l2wire-node', [...toUninstall(node, '--force'), ...toOptions()], {
      netns,
    })
    try {
      await expectSoon('it waits', () => forced.readStderr().includes('the plugins stay'))
      const said = forced.readStderr()
      expect(said).to.include('warning: these lose their cable now')
      for (const { pod, wire } of here) expect(said).to.include(pod.path).and.include(wire)
      expect(await listOurs()).to.not.match(/^l[wx].*l2wire|^lx/m)
      // Cables, rules and files are gone; of all that was installed the plugins alone are left.
      const [plugins, ...configuration] = installed['folders'] as readonly unknown[]
      const [, ...earlier] = before['folders'] as readonly unknown[]
      expect(configuration).to.not.deep.equal(earlier)
      const { mounts: _, ...waiting } = await takeSnapshot(netns)
      const { mounts: _before, ...expected } = before
      expect(waiting).to.deep.equal({ ...expected, folders: [plugins, ...earlier] })

      expect(await readJoins(vm.pod), "what is no cable keeps its VM's network").to.equal(joins)
      await removePod(vm)
      expect(forced.child.exitCode, 'still waiting').to.equal(null)
      const answers = await Promise.all(
        here.map(async (plug) => {
          const call = { ...toCall('DEL', plug), socket: node.socket }
          const config = JSON.stringify(toConfig(plug.wire))
          return callPlugin(join(folders.plugins, 'l2wire'), call, config)
        }),
      )
      for (const { exitCode, stdout } of answers) expect(exitCode, stdout).to.equal(0)
      for (const plug of here) await removePod(plug)
      const { exitCode, stderr } = await forced.ended
      expect(exitCode, stderr).to.equal(0)
    } finally {
      forced.child.kill('SIGKILL')
    }
    for (const plug of plugs) await removePod(plug)
    expect(await takeSnapshot(netns)).to.deep.equal(before)
    const left = [node.stateDir, node.socket, join(node.folder, 'released')]
    expect(left.filter((path) => existsSync(path))).to.deep.equal([])
  })

  it('takes the devices of VMs by macvtap when their pods have gone, and the kubelet hears that there are none', async () => {
    const [netns] = await newNodes()
    const before = await takeSnapshot(netns)
    await runTool(netns, 'install')
    const node = made.use(await newLabNode({ netns, address: '192.0.2.1' }))
    const root = join(node.folder, 'kubelet')
    const kubelet = made.use(await newLabKubelet(root))
    await node.stopAgent('SIGTERM')
    await node.startAgent([
      '--device-plugins',
      kubelet.folder,
      '--macvtap-devices',
      '5',
      '--pod-resources',
      kubelet.podResources,
    ])
    await expectSoon('its devices are known', () => kubelet.devices().length === 5)
    const listFiles = async (): Promise<readonly string[]> =>
      readdir(join(node.folder, 'macvtap')).catch(() => [])
    await kubelet.admit('vm', 1)
    const vm = await plugVm(node, { attach: 'macvtap', deviceID: '70000001' })
    made.defer(async () => removePod(vm))
    await kubelet.admit('cabled', 1)
    const cabled = { node, pod: await newLabNetns('cabled'), wire: 'w1' }
    made.defer(async () => removePod(cabled))
    const podLink = toPodLinkName('ge0')
    const tap = toTapName(podLink)
    await node.mustCall(toConfig('w1'), { ...toCall('ADD', cabled), ifname: podLink })
    const args = { cni: { logicNetworkName: 'ge0' } }
    const bind = { cniVersion: '1.1.0', name: 'bind', type: 'l2wire-bind', attach: 'macvtap', args }
    const bound = { ...toCall('ADD', cabled), ifname: 'net1', args: toPodArgs('cabled') }
    await node.mustCall({ ...bind, deviceID: '70000002' }, bound)
    expect(await listLinks(cabled))
      .to.include(podLink)
      .and.include(tap)

    await node.stopAgent('SIGTERM')
    await expectSoon('the kubelet hears of it', () => kubelet.devices().length === 0)
    expect(await readdir(kubelet.folder)).to.deep.equal(['kubelet.sock'])
    const refused = await runTool(netns, ...toUninstall(node))
    expect(refused.exitCode).to.equal(1)
    expect(refused.stderr).to.include(`tap "${tap}"`).and.include(vm.pod.path)
    const forced = startCommand('l2wire-node', [...toUninstall(node, '--force'), ...toOptions()], {
      netns,
    })
    try {
      await expectSoon('it waits', () => forced.readStderr().includes('the plugins stay'))
      // A pod link goes with its cable, and a macvtap with its pod link; what is no cable stays.
      expect(await listLinks(cabled))
        .to.not.include(podLink)
        .and.not.include(tap)
      expect(await listLinks(vm)).to.include(toTapName(toPodLinkName('other')))
      expect(await listFiles(), 'while pods have them').to.have.members([
        'tap70000001',
        'tap70000002',
      ])
      for (const [config, call] of [
        [bind, bound],
        [
          { ...bind, args: {} },
          { ...toCall('DEL', vm), ifname: 'net1' },
        ],
        [toConfig('w1'), { ...toCall('DEL', cabled), ifname: podLink }],
      ] as const) {
        const answer = await callPlugin(
          join(folders.plugins, config.type),
          { ...call, command: 'DEL', socket: node.socket },
          JSON.stringify(config),
        )
        expect(answer.exitCode, answer.stdout).to.equal(0)
      }
      for (const plug of [vm, cabled]) await removePod(plug)
      const { exitCode, stderr } = await forced.ended
      expect(exitCode, stderr).to.equal(0)
    } finally {
      forced.child.kill('SIGKILL')
    }
    expect(existsSync(join(node.folder, 'macvtap'))).to.equal(false)
    expect(await takeSnapshot(netns)).to.deep.equal(before)
  })

  it('can be thought better of: an agent that comes back plugs the cables in again', async () => {
    const [netns] = await newNodes()
    await runTool(netns, 'install')
    const node = made.use(await newLabNode({ netns, address: '192.0.2.1' }))
    const plugs: Plug[] = []
    for (const name of ['one', 'other']) {
      const plug = { node, pod: await newLabNetns(name), wire: 'w1' }
      made.defer(async () => removePod(plug))
      await node.mustCall(toConfig('w1'), toCall('ADD', plug))
      plugs.push(plug)
    }
    await node.stopAgent('SIGTERM')
    const forced = startCommand('l2wire-node', [...toUninstall(node, '--force'), ...toOptions()], {
      netns,
    })
    await expectSoon('it waits', () => forced.readStderr().includes('the plugins stay'))
    forced.child.kill('SIGTERM')
    await forced.ended
    const readLinks = async (): Promise<string> =>
      (await Promise.all(plugs.map(async ({ pod }) => pod.run(['ip', '-br', 'link'])))).join('')
    expect(await readLinks()).to.not.include('eth1')
    await node.startAgent()
    await expectSoon(
      'both have carrier',
      async () => (await readLinks()).match(/^eth1@.*LOWER_UP/gm)?.length === plugs.length,
    )
    for (const plug of plugs) await node.mustCall(toConfig('w1'), toCall('DEL', plug))
  })
})

/** Without what follows the carrier by up to a second. */
function listDetails(json: string): readonly object[] {
  const links = JSON.parse(json) as readonly {
    readonly operstate: string
    readonly flags: string[]
  }[]
  return links.map(({ operstate: _operstate, flags: _flags, ...details }) => details)
}

const toPodArgs = (pod: string): string => `K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`

/** A launcher whose VM is bound to another CNI plugin's link. */
async function plugVm(node: LabNode, more: object = {}): Promise<Plug> {
  const plug = { node, pod: await newLabNetns('vm'), wire: 'none' }
  const link = ['ip', 'link', 'add', 'name', toPodLinkName('other'), 'type', 'veth']
  await plug.pod.run([...link, 'peer', 'name', 'elsewhere'])
  const args = { cni: { logicNetworkName: 'other' } }
  const config = { cniVersion: '1.1.0', name: 'bind', type: 'l2wire-bind', args, ...more }
  await node.mustCall(config, { ...toCall('ADD', plug), ifname: 'net1', args: toPodArgs('vm') })
  return plug
}

/** Whom the VM's tap and its pod link lead to. */
async function readJoins(pod: LabNetns): Promise<string> {
  const podLink = toPodLinkName('other')
  const show = async (dev: string): Promise<string> =>
    pod.run(['tc', 'filter', 'show', 'dev', dev, 'ingress'])
  return (await show(podLink)) + (await show(toTapName(podLink)))
}

async function listLinks({ pod }: Plug): Promise<string> {
  return withoutOperstate(await pod.run(['ip', '-br', 'link', 'show']))
}

/** A runtime takes the namespace away after the DEL. */
async function removePod({ pod }: Plug): Promise<void> {
  if (existsSync(pod.path)) await pod[Symbol.asyncDispose]()
}

async function readFolder(folder: string): Promise<Readonly<Record<string, string>>> {
  const files = (await readdir(folder)).sort()
  const read = async (file: string): Promise<[string, string]> => [
    file,
    await readFile(join(folder, file), 'base64'),
  ]
  return Object.fromEntries(await Promise.all(files.map(read)))
}

function toUninstall(node: LabNode, ...more: readonly string[]): readonly string[] {
  return ['uninstall', `--state-dir=${node.stateDir}`, `--socket=${node.socket}`, ...more]
}
