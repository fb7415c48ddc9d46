// DEL gets through, whatever its configuration or the agent's own documents have become.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { callPlugin, type CniCall } from '../../../lab/cni.ts'
import { ROOT } from '../../../lab/manifests.ts'
import { expectLogged } from '../../expect-logged.ts'
import { expectSoon } from '../../expect-soon.ts'
import { listLinkNames } from '../fixture-links.ts'
import { BIND, CONFIG, toCall, usePods } from '../fixture-pods.ts'

describe('DEL gets through', function () {
  this.timeout(90_000)
  const pods = usePods()

  const edits: readonly { name: string; config: object; call?: Partial<CniCall> }[] = [
    { name: 'with an ipam that ADD would refuse', config: { ipam: { type: 5 } } },
    { name: 'with an IPAM plugin that is not there', config: { ipam: { type: 'l2w-none' } } },
    { name: 'with an mtu of the wrong type', config: { mtu: 'big' } },
    { name: 'with CNI_ARGS that are nonsense', config: {}, call: { args: 'nonsense' } },
    { name: 'with a CNI_NETNS that is nonsense', config: {}, call: { netns: 'x"y' } },
  ]
  for (const { name, config, call } of edits)
    it(name, async () => {
      const { node, a, add } = pods()
      await add(a, 'c1')
      await node.mustCall({ ...CONFIG, ...config }, { ...toCall('DEL', a, 'c1'), ...call })
    })

  const { cniVersion: _, ...unversioned } = CONFIG
  const broken: Readonly<Record<string, string>> = {
    'is empty': '',
    'is cut off': JSON.stringify(CONFIG).slice(0, 30),
    'is no JSON': 'l2wire',
    'is a list': '[]',
    'is no text': '\u0000\ufffd',
    'has no version': JSON.stringify(unversioned),
    'has a version nobody knows': JSON.stringify({ ...CONFIG, cniVersion: '9' }),
    'has no version, but an IPAM plugin': JSON.stringify({
      ...unversioned,
      ipam: { type: 'l2w-none' },
    }),
    'has no name': JSON.stringify({ ...CONFIG, name: undefined }),
    'has a name that is none': JSON.stringify({ ...CONFIG, name: ['w'] }),
    'has no type': JSON.stringify({ ...CONFIG, type: undefined }),
    "has another plugin's type": JSON.stringify({ ...CONFIG, type: 'bridge' }),
    'has a socket': JSON.stringify({ ...CONFIG, socket: '/tmp/l2w-nobody/agent.sock' }),
    'is longer when it is said again': `${JSON.stringify(CONFIG).slice(0, -1)},"x":[${Array(13_000).fill('1e20').join()}]}`,
    'has more than 64 KB': JSON.stringify({ ...CONFIG, x: 'x'.repeat(64 * 1024) }),
  }
  const delWith = async (plugin: string, call: CniCall, stdin: string): Promise<void> => {
    const { socket } = pods().node
    const answer = await callPlugin(join(ROOT, 'dist/bin', plugin), { ...call, socket }, stdin)
    expect(answer).to.include({ exitCode: 0, stdout: '' })
  }
  for (const [name, stdin] of Object.entries(broken)) {
    it(`when its configuration ${name}, and takes out what is in`, async () => {
      const { node, a, add } = pods()
      const ofPod = { ...toCall('DEL', a, 'c1'), ifname: 'eth0' }
      await add(a, 'c1', 'eth0')
      const bind = { ...BIND, name: 'w', args: { cni: { logicNetworkName: 'default' } } }
      await node.mustCall(bind, { ...toCall('ADD', a, 'c1'), ifname: 'net1' })
      // Under the other name there is nothing to take out.
      await delWith('l2wire', { ...ofPod, ifname: 'net1' }, stdin)
      expect(await listLinkNames(a)).to.include.members(['eth0', 'tap0'])
      await delWith('l2wire-bind', { ...ofPod, ifname: 'net1' }, stdin)
      expect(await listLinkNames(a)).to.not.include('tap0')
      await delWith('l2wire', ofPod, stdin)
      await delWith('l2wire', ofPod, stdin)
    })
  }

  it('when its configuration is lost and the agent is away', async () => {
    const { node, a, add } = pods()
    await add(a, 'c1')
    await node.stopAgent('SIGKILL')
    await delWith('l2wire', toCall('DEL', a, 'c1'), '')
    await node.startAgent()
  })

  for (const text of ['{"version":', '{"version":2}', '[]'])
    it(`when the attachment's document is ${text}`, async () => {
      const { node, a, add, del } = pods()
      await add(a, 'c1')
      const folder = join(node.stateDir, 'attachments')
      for (const file of await readdir(folder)) await writeFile(join(folder, file), text)
      await del(a, 'c1')
      // The claim is the one thing nobody can name any more; its end's next sandbox takes it over.
      await add(a, 'c1')
      await del(a, 'c1')
    })

  it("when the wire's document cannot be read, which stays for somebody to look at", async () => {
    const { node, a, add, del } = pods()
    await add(a, 'c1')
    const path = join(node.folder, 'store', 'lab.w.json')
    // What the agent has still to say of the ADD would put a whole document there again.
    await expectSoon('the wire is reported', async () =>
      (await readFile(path, 'utf8')).includes('"waiting"'),
    )
    await writeFile(path, '{"version":')
    await del(a, 'c1')
    await expectLogged(node, 'cannot read a wire')
    await rm(path)
  })

  it("but not to another network's interface", async () => {
    const { node, a, add, del } = pods()
    await add(a, 'c1')
    await node.mustCall({ ...CONFIG, name: 'other' }, toCall('DEL', a, 'c1'))
    await node.mustCall({ ...BIND, name: 'w' }, toCall('DEL', a, 'c1'))
    expect(await listLinkNames(a)).to.include('eth1')
    await del(a, 'c1')
  })
})
