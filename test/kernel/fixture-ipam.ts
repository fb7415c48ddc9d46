// A node and two pods of it whose addresses come from IPAM plugins: Debian's, or scripts of a test.
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach } from 'mocha'

import { PLUGIN_FOLDERS, type CniCall } from '../../lab/cni.ts'
import type { Manifest } from '../../lab/manifests.ts'
import { newLabNetns, type LabNetns } from '../../lab/netns.ts'
import { newLabNode, type LabNode } from '../../lab/node.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectNoLinks, leavesNothing } from '../nothing-left.ts'

export const CONFIG = { cniVersion: '1.0.0', name: 'w', type: 'l2wire' }
export const HOST_LOCAL = '/usr/lib/cni/host-local'

interface Place {
  readonly node: LabNode
  readonly a: LabNetns
  readonly b: LabNetns
  /** With "bin", where plugins are looked for first. */
  readonly folder: string
  /** What host-local keeps. */
  readonly leases: string
}

export interface Ipam {
  /** Where all of it is; to be asked in a test. */
  readonly place: () => Place
  readonly toCall: (command: string, netns: LabNetns, id: string) => CniCall
  /** A network of host-local, or of a script that runs it, with its leases in our folder. */
  readonly hostLocal: (type?: string, more?: object) => Manifest
  /** The addresses that host-local has given away. */
  readonly listLeases: () => Promise<readonly string[]>
  /** A plugin that does this at an ADD, and what host-local does at the rest. */
  readonly writePlugin: (name: string, add: string) => Promise<void>
  readonly add: (netns: LabNetns, id: string, config: Manifest) => Promise<Manifest>
  readonly del: (netns: LabNetns, id: string, config: Manifest) => Promise<Manifest>
}

/** For a suite whose tests give back all that they are given. */
export function useIpam(): Ipam {
  let node: LabNode
  let a: LabNetns
  let b: LabNetns
  let folder: string
  let leases: string

  leavesNothing(async (made) => {
    folder = made.use(await newTemporaryFolder('ipam')).path
    leases = join(folder, 'leases')
    await mkdir(join(folder, 'bin'))
    node = made.use(await newLabNode())
    a = made.use(await newLabNetns('a'))
    b = made.use(await newLabNetns('b'))
  })
  afterEach('leaves nothing', async () => {
    await expectNoLinks()
    expect(await node.listDocuments()).to.deep.equal([])
    expect(await listLeases()).to.deep.equal([])
    // host-local goes on from the last address it gave.
    await rm(leases, { recursive: true, force: true })
  })

  function toCall(command: string, netns: LabNetns, id: string): CniCall {
    return {
      command,
      containerID: id,
      netns: netns.path,
      ifname: 'eth1',
      args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${id}`,
      path: [join(folder, 'bin'), ...PLUGIN_FOLDERS].join(':'),
    }
  }
  function hostLocal(type = 'host-local', more: object = {}): Manifest {
    const ranges = [[{ subnet: '10.0.0.0/24', rangeStart: '10.0.0.10', gateway: '10.0.0.1' }]]
    return { ...CONFIG, ipam: { type, ranges, dataDir: leases, ...more } }
  }
  async function listLeases(): Promise<readonly string[]> {
    const files = await readdir(join(leases, 'w')).catch(() => [])
    return files.filter((file) => /^\d+\./.test(file)).sort()
  }
  async function writePlugin(name: string, add: string): Promise<void> {
    const path = join(folder, 'bin', name)
    const rest = `exec ${HOST_LOCAL}`
    await writeFile(path, `#!/bin/sh\nif [ $CNI_COMMAND = ADD ]; then\n${add}\nfi\n${rest}\n`)
    await chmod(path, 0o755)
  }
  return {
    place: () => ({ node, a, b, folder, leases }),
    toCall,
    hostLocal,
    listLeases,
    writePlugin,
    add: async (netns, id, config) => node.mustCall(config, toCall('ADD', netns, id)),
    del: async (netns, id, config) => node.mustCall(config, toCall('DEL', netns, id)),
  }
}
