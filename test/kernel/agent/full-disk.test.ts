// A node whose disk is full: nothing more is plugged in, what is plugged in stays, and once there is room it
// works as if nothing had been.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { FRAME_ROWS } from '../../../core/tester/frames.ts'
import { newNetnsStation } from '../../../kernel/tester/netns-station.ts'
import { run } from '../../../kernel/run.ts'
import type { Station } from '../../../kernel/tester/station.ts'
import type { CniCall } from '../../../lab/cni.ts'
import { newLabNetns, type LabNetns } from '../../../lab/netns.ts'
import { newLabNode, type LabNodeOptions } from '../../../lab/node.ts'
import { newSmallDisk } from '../../../lab/small-disk.ts'
import { newFileStore } from '../../../store/file-store.ts'
import { decodeFileUrl } from '../../../store/file-url.ts'
import { expectSoon } from '../../expect-soon.ts'
import { withoutOperstate } from '../../without-operstate.ts'
import { expectTransparent } from '../../expect-transparent.ts'
import { leavesNothing } from '../../nothing-left.ts'

const CONFIG = { cniVersion: '1.1.0', name: 'w', type: 'l2wire', mtu: 9216 }
const OTHER = { ...CONFIG, name: 'other' }

describe('a full disk', function () {
  this.timeout(90_000)

  leavesNothing()

  const places: readonly { name: string; toOptions: (folder: string) => LabNodeOptions }[] = [
    { name: 'the store', toOptions: (folder) => ({ storeFolder: join(folder, 'store') }) },
    {
      name: 'the state directory',
      toOptions: (folder) => ({ more: ['--state-dir', join(folder, 'state')] }),
    },
  ]
  for (const { name, toOptions } of places)
    it(`of ${name}: an ADD is refused and leaves nothing, other wires carry on`, async () => {
      await using disk = await newSmallDisk()
      await using node = await newLabNode(toOptions(disk.folder))
      await using a = await newLabNetns('a', { ipv6: false })
      await using b = await newLabNetns('b', { ipv6: false })
      await using c = await newLabNetns('c', { ipv6: false })
      const listFiles = async (): Promise<readonly string[]> =>
        (await readdir(disk.folder, { recursive: true })).sort()
      for (const netns of [a, b]) await node.mustCall(CONFIG, toCall('ADD', netns))
      // A report of what was joined follows a moment later.
      const documents = await node.listDocuments()
      const store = newFileStore(decodeFileUrl(node.storeUrl))
      await expectSoon('it is reported', async () => {
        const wire = await store.read({ namespace: 'lab', name: 'w' })
        return (
          wire?.reports.some(({ state, ends }) => state === 'joined' && ends.length === 2) === true
        )
      })
      await expectSoon(
        'settled',
        async () => !(await listFiles()).some((file) => /\.(lock|tmp)$/.test(file)),
      )
      const links = withoutOperstate(await run(['ip', '-br', 'link', 'show']))
      const files = await listFiles()
      await disk.fill()
      const refused = await node.call(OTHER, toCall('ADD', c))
      expect(refused.output, refused.stdout).to.include({ code: 5 })
      expect(refused.output?.['msg']).to.include(disk.folder).and.include('ENOSPC')
      expect(await c.run(['ip', '-br', 'link', 'show'])).to.not.include('eth1')
      expect(withoutOperstate(await run(['ip', '-br', 'link', 'show']))).to.equal(links)
      expect((await listFiles()).filter((file) => file !== disk.ballast)).to.deep.equal(files)
      expect(await node.listDocuments()).to.deep.equal(documents)
      await expectTransparent(toStation(a), toStation(b), { rows: FRAME_ROWS.slice(0, 5) })
      await disk.empty()
      await node.mustCall(OTHER, toCall('ADD', c))
      await node.mustCall(OTHER, toCall('DEL', c))
      for (const netns of [a, b]) await node.mustCall(CONFIG, toCall('DEL', netns))
      await expectSoon('nothing left', async () => (await node.listDocuments()).length === 0)
    })
})

function toCall(command: string, netns: LabNetns): CniCall {
  return {
    command,
    containerID: netns.name,
    netns: netns.path,
    ifname: 'eth1',
    args: `K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${netns.name}`,
  }
}

function toStation(netns: LabNetns): Station {
  return newNetnsStation(run, { label: netns.name, netns: netns.path, ifname: 'eth1' })
}
