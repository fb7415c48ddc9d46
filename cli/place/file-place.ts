// Wires in a folder, and the ends that are on this machine.
import { existsSync } from 'node:fs'

import { DecodeError, renderCauses } from '../../core/errors.ts'
import { toHostEndName } from '../../core/name.ts'
import type { NodeSurvey } from '../../core/doctor/facts.ts'
import { listNodes, setUnplugged, toWireKey, type Wire, type WireId } from '../../core/wire/wire.ts'
import { newFileStore } from '../../store/file-store.ts'
import { decodeFileUrl } from '../../store/file-url.ts'
import { CliError } from '../cli-error.ts'
import { OptionError } from '../option-error.ts'
import { survey } from '../doctor/survey.ts'
import { inspect } from '../inspect.ts'
import { complain } from '../output.ts'
import { explain, type Place } from './place.ts'

const NAMESPACE = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

export function newFilePlace(url: string, namespace = 'default', stateDir: string): Place {
  const store = newFileStore(decodeStore(url))
  const listAll = async (): Promise<readonly Wire[]> => {
    const wires = await store.list((error) => complain(renderCauses(error)))
    return wires.toSorted((a, b) => toWireKey(a).localeCompare(toWireKey(b)))
  }
  const expectFolder = (): void => {
    const folder = decodeStore(url)
    if (existsSync(folder)) return
    throw new CliError(
      `There is no folder "${folder}", expected the one that agents have as --store`,
    )
  }
  const self = [process.execPath, process.argv[1] ?? '']
  return {
    label: `"${url}"`,
    readNamespace: () => Promise.resolve(namespace),
    list: async ({ hasAll }) =>
      (await listAll()).filter((wire) => hasAll || wire.namespace === namespace),
    read: async (id) => store.read(id),
    setUnplugged: async (id, isUnplugged) => {
      // It becomes part of a file's name.
      if (!NAMESPACE.test(id.namespace))
        throw new OptionError('--namespace', id.namespace, 'the name of a namespace, like "lab"')
      // It would be made, and no agent would look into it.
      expectFolder()
      return store.update(id, (wire) => setUnplugged(wire, id, isUnplugged))
    },
    toNodeArgv: () => Promise.resolve(self),
    isWithinReach: ({ containerID, ifname }) =>
      existsSync(`/sys/class/net/${toHostEndName(containerID, ifname)}`),
    look: async (wire) => {
      const look = await inspect(wire, stateDir).catch(explain)
      return listNodes(wire).map((node) => {
        if (typeof look === 'string') return { node, inspection: undefined, reason: look }
        if (look.node === node) return { node, inspection: look, reason: undefined }
        return { node, inspection: undefined, reason: `this machine is node ${look.node}` }
      })
    },
    takeInventory: async (only) => {
      expectFolder()
      const unreadable: string[] = []
      // Claims before wires: one that is made meanwhile is not taken for one that nobody noted.
      const vniClaims = await store.listVnis()
      const wires = await store.list((error) => unreadable.push(renderCauses(error)))
      const isOf = (id: WireId): boolean => only === undefined || id.namespace === only
      return {
        wires: wires.filter(isOf),
        unreadable,
        vniClaims,
        nodeNames: undefined,
        agents: undefined,
        around: undefined,
        unknown: [],
        notes: [],
      }
    },
    visit: async (_, node) => {
      const found = await survey({ stateDir })
      return [{ node: node ?? findOwnName(found) ?? THIS, survey: found, reason: undefined }]
    },
    hasRemoteNodes: false,
    readSurroundings: () => Promise.resolve({ gonePods: [], events: [], unknown: [] }),
  }
}

/** This machine, where none of its attachments says what the store calls it. */
const THIS = 'this machine'

function findOwnName({ attachments }: NodeSurvey): string | undefined {
  return attachments.flatMap(({ attachment }) =>
    attachment.kind === 'wire' ? [attachment.node] : [],
  )[0]
}

function decodeStore(url: string): string {
  try {
    return decodeFileUrl(url)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new OptionError('--store', url, 'file:///DIR', { cause })
  }
}
