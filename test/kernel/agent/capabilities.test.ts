// The agent with no more of root's capabilities than its DaemonSet gives it, and with fewer.
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { before, describe, it } from 'mocha'

import { toPodLinkName, toTapName } from '../../../core/name.ts'
import { getMapping, getNadConfig, readManifest, type Manifest } from '../../../lab/manifests.ts'
import { newLabNetns } from '../../../lab/netns.ts'
import { newLabNode } from '../../../lab/node.ts'
import { leavesNothing } from '../../nothing-left.ts'

const NETWORK = 'ge0'
const POD_LINK = toPodLinkName(NETWORK)
const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }

interface Container {
  readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } }
}

async function readCapabilities(): Promise<readonly string[]> {
  const daemonSet = await readManifest('deploy/base/agent.yaml')
  const { containers } = getMapping(daemonSet, 'spec', 'template', 'spec')
  const [agent] = containers as readonly Container[]
  return agent?.securityContext.capabilities.add ?? []
}

/**
 * A folder with a setpriv that takes all other capabilities away for good, the first time: every child of
 * the agent is started by one, too, and nobody can take away what he has not.
 */
async function newBoundedPath(capabilities: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'l2w-bounded-'))
  const bound = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',')
  const script = [
    '#!/bin/sh',
    // CAP_SETPCAP, bit 8.
    `[ $((0x$(sed -n 's/^CapEff:\\s*//p' /proc/self/status) & 0x100)) = 0 ] ||`,
    `  exec /usr/bin/setpriv --bounding-set=${bound} /usr/bin/setpriv "$@"`,
    'exec /usr/bin/setpriv "$@"',
  ]
  const file = join(folder, 'setpriv')
  await writeFile(file, `${script.join('\n')}\n`)
  await chmod(file, 0o755)
  return folder
}

describe("the agent with its DaemonSet's capabilities", function () {
  this.timeout(90_000)
  let bind: Manifest
  leavesNothing()
  before(async () => {
    bind = {
      ...getNadConfig(await readManifest('deploy/components/macvtap/binding-nad-macvtap.yaml')),
      args: { cni: { logicNetworkName: NETWORK } },
    }
  })

  /** What an ADD of a VM by macvtap answers, and its CHECK. */
  const addMacvtap = async (capabilities: readonly string[]): Promise<readonly unknown[]> => {
    const pathFirst = await newBoundedPath(capabilities)
    try {
      await using node = await newLabNode({ pathFirst })
      await using pod = await newLabNetns('launcher')
      const at = (ifname: string) => ({ containerID: 'c1', netns: pod.path, ifname })
      await node.mustCall(WIRE, { command: 'ADD', ...at(POD_LINK) })
      const added = await node.call(bind, { command: 'ADD', ...at('net1') })
      const check = { command: 'CHECK', ...at('net1') }
      const checked = await node.call({ ...bind, prevResult: {} }, check)
      const links = await pod.run(['ip', '-br', 'link', 'show'])
      await node.mustCall(bind, { command: 'DEL', ...at('net1') })
      await node.mustCall(WIRE, { command: 'DEL', ...at(POD_LINK) })
      return [added.output?.['code'], checked.exitCode, links.includes(toTapName(POD_LINK))]
    } finally {
      await rm(pathFirst, { recursive: true })
    }
  }

  it('attaches VMs by macvtap', async () => {
    expect(await addMacvtap(await readCapabilities())).to.deep.equal([undefined, 0, true])
  })

  for (const missing of ['MKNOD', 'CHOWN'])
    it(`does not without ${missing}, and leaves nothing`, async () => {
      const fewer = (await readCapabilities()).filter((name) => name !== missing)
      expect(await addMacvtap(fewer)).to.deep.equal([5, 1, false])
    })
})
