// DEL gets through, whatever its configuration or the agent's own documents have become.
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { CniCall } from '../../lab/cni.ts'
import { listLinkNames } from './fixture-links.ts'
import { BIND, CONFIG, toCall, usePods } from './fixture-pods.ts'

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
    await writeFile(path, '{"version":')
    await del(a, 'c1')
    expect(node.readLog()).to.include('cannot read a wire')
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
