// Every field by which others name something, with names that lead elsewhere: each is refused, or leads to
// a file of a folder of ours.
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { newAttachmentState } from '../../agent/state.ts'
import { findPlugin } from '../../cni-shim/plugin.ts'
import { decodePluginConfig } from '../../core/cni/config.ts'
import { decodeEnv, decodePodRef, type CniArgs } from '../../core/cni/env.ts'
import { renderLine } from '../../core/cni/protocol.ts'
import { CniError, DecodeError } from '../../core/errors.ts'
import { isDeviceName, toHostEndName, toPodLinkName, toTapName } from '../../core/name.ts'
import { toPathBelow } from '../../core/path-below.ts'
import { decodeNote, toNoteFile } from '../../core/attach/release-note.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { newFileStore } from '../../store/file-store.ts'

const HOSTILE = [
  '..',
  '.',
  '../x',
  '../../etc/x',
  '/etc/x',
  'a/b',
  'a/../../x',
  'a\0b',
  'x'.repeat(300),
]
const OURS = '/ours'
const WIRE = { cniVersion: '1.1.0', name: 'w', type: 'l2wire' }
const ARGS: CniArgs = {
  command: 'ADD',
  containerID: 'c1',
  netns: '/run/netns/x',
  ifname: 'eth1',
  args: '',
  path: '',
}
const ENV = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth1',
}

const toAttachmentFile = (env: Readonly<Record<string, string>>): string =>
  toPathBelow(OURS, toNoteFile(decodeEnv({ ...ENV, ...env })))
const toWireFile = (config: object, args = 'K8S_POD_NAMESPACE=lab;K8S_POD_NAME=p'): string => {
  const decoded = decodePluginConfig({ ...WIRE, ...config }, { ...ARGS, args })
  const { namespace } = decodePodRef(args)
  return toPathBelow(OURS, `${namespace}.${'wire' in decoded ? decoded.wire : decoded.name}.json`)
}
const toDevice = (name: string): string => {
  expect(isDeviceName(name)).to.equal(true)
  return toPathBelow(OURS, name)
}
const toNotedFile = (field: object): string => {
  const args = { command: 'DEL', containerID: 'c1', ifname: 'eth1', ...field }
  const { containerID, ifname } = args
  // The name is as a folder tells it.
  const file = `${containerID}@${ifname}.json`.split('/').at(-1) ?? ''
  return toPathBelow(
    OURS,
    toNoteFile(decodeNote(renderLine({ protocol: 1, args, config: {} }), file).args),
  )
}

/** What each makes of a name; it may throw. */
const FIELDS: Readonly<Record<string, (name: string) => string>> = {
  CNI_CONTAINERID: (name) => toAttachmentFile({ CNI_CONTAINERID: name }),
  CNI_IFNAME: (name) => toAttachmentFile({ CNI_IFNAME: name }),
  'the network name': (name) => toWireFile({ name }),
  'the wire': (name) => toWireFile({ wire: name }),
  'the namespace': (name) => toWireFile({}, `K8S_POD_NAMESPACE=${name};K8S_POD_NAME=p`),
  'the pod': (name) =>
    toPathBelow(OURS, String(decodePodRef(`K8S_POD_NAMESPACE=lab;K8S_POD_NAME=${name}`).name)),
  'args.cni.end': (name) => toWireFile({ args: { cni: { end: name } } }),
  'ipam.type': (name) => {
    const config = decodePluginConfig({ ...WIRE, ipam: { type: name } }, ARGS)
    return toPathBelow(OURS, String('ipam' in config ? config.ipam : ''))
  },
  'the host end': (name) => toDevice(toHostEndName(name, name)),
  'the logical network': (name) => toDevice(toPodLinkName(name)),
  'the tap': (name) => toDevice(toTapName(toPodLinkName(name))),
  "a note's containerID": (containerID) => toNotedFile({ containerID }),
  "a note's ifname": (ifname) => toNotedFile({ ifname }),
  'any name of a file': (name) => toPathBelow(OURS, name),
}

function isRefusal(error: unknown): boolean {
  return error instanceof CniError || error instanceof DecodeError
}

describe('a name that others give', () => {
  for (const [field, toPath] of Object.entries(FIELDS))
    it(`as ${field} leads to no file but one of ours`, () => {
      for (const name of HOSTILE) {
        let path: string
        try {
          path = toPath(name)
        } catch (error) {
          expect(isRefusal(error), `${field} ${JSON.stringify(name)}: ${String(error)}`).to.equal(
            true,
          )
          continue
        }
        expect(dirname(resolve(path)), `${field} ${JSON.stringify(name)}`).to.equal(OURS)
        expect(path, name).to.not.include('\0')
      }
    })

  it('leads the stores and the plugins nowhere else', async () => {
    await using folder = await newTemporaryFolder('paths')
    const inner = join(folder.path, 'inner')
    await mkdir(inner)
    // What each would find, or write over.
    for (const file of ['x', 'x.json', 'etc'])
      await writeFile(join(folder.path, file), 'outside', { mode: 0o755 })
    const store = newFileStore(inner)
    const state = newAttachmentState(inner)
    for (const name of HOSTILE) {
      const doings: readonly (() => Promise<unknown>)[] = [
        async () => store.read({ namespace: name, name: 'w' }),
        async () => store.read({ namespace: '..', name }),
        async () => state.get({ containerID: name, ifname: 'eth1' }),
        async () => state.del({ containerID: 'c1', ifname: name }),
        async () => findPlugin(name, inner),
      ]
      for (const [at, doing] of doings.entries())
        await doing().then(
          (value) => expect(value, `${at} of ${JSON.stringify(name)}`).to.equal(undefined),
          (error: unknown) => expect(isRefusal(error), String(error)).to.equal(true),
        )
    }
  })
})
