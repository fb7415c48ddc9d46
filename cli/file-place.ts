// Wires in a folder, and the ends that are on this machine.
import { existsSync } from 'node:fs'

import { CommandError, DecodeError, renderCauses } from '../core/errors.ts'
import { decodeSurvey, type NodeSurvey } from '../core/doctor-facts.ts'
import { decodeInspection, type WireInspection } from '../core/inspection.ts'
import {
  listNodes,
  setUnplugged,
  toAttachmentKey,
  toWireKey,
  type Wire,
  type WireId,
} from '../core/wire.ts'
import type { NodeLook } from '../core/wire-facts.ts'
import { run } from '../kernel/run.ts'
import { newFileStore } from '../store/file-store.ts'
import { decodeFileUrl } from '../store/file-url.ts'
import { CliError } from './cli-error.ts'
import { OptionError } from './option-error.ts'
import { explainFault, readOwnWords, toEndArgs, type Place } from './place.ts'

const NAMESPACE = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

export function newFilePlace(url: string, namespace = 'default', stateDir: string): Place {
  const store = newFileStore(decodeStore(url))
  const listAll = async (): Promise<readonly Wire[]> => {
    const wires = await store.list((error) =>
      process.stderr.write(`kubectl-l2wire: ${renderCauses(error)}\n`),
    )
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
  const runSelf = async (args: readonly string[]): Promise<string> => {
    try {
      return await run([...self, ...args], { timeoutMs: SURVEY_MS })
    } catch (error) {
      throw new CliError(explainFault(error), { cause: error })
    }
  }
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
    look: async (wire) => {
      const args = ['--namespace', wire.namespace, '--state-dir', stateDir]
      const command = [...self, 'inspect', wire.name, ...args, ...toEndArgs(wire.ends)]
      try {
        return splitByNode(wire, decodeInspection(await run(command), 'inspect'))
      } catch (error) {
        if (!(error instanceof CommandError)) throw error
        const fault = readOwnWords(error)
        return listNodes(wire).map((node) => ({ node, inspection: undefined, fault }))
      }
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
        unknown: [],
      }
    },
    visit: async (_, node) => {
      const json = await runSelf(['survey', '--state-dir', stateDir])
      const survey = decodeSurvey(json, 'survey')
      return [{ node: node ?? findOwnName(survey) ?? THIS, survey, fault: undefined }]
    },
    hasRemoteNodes: false,
    readSurroundings: () => Promise.resolve({ gonePods: [], events: [], unknown: [] }),
    listNamespaces: async () => [...new Set((await listAll()).map((wire) => wire.namespace))],
  }
}

/** This machine, where none of its attachments says what the store calls it. */
const THIS = 'this machine'
const SURVEY_MS = 60_000

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

// This machine does not know its name in the store: it is the node of the ends that are found here.
function splitByNode(wire: Wire, inspection: WireInspection): readonly NodeLook[] {
  const isHere = (node: string): boolean =>
    wire.ends.some(
      (end) =>
        end.node === node &&
        inspection.ends.some(
          (one) => toAttachmentKey(one) === toAttachmentKey(end) && one.hostEnd !== null,
        ),
    )
  return listNodes(wire).map((node) => {
    if (!isHere(node))
      return { node, inspection: undefined, fault: 'none of the wire’s devices is on this machine' }
    const keys = wire.ends.filter((end) => end.node === node).map(toAttachmentKey)
    const ends = inspection.ends.filter((end) => keys.includes(toAttachmentKey(end)))
    return { node, inspection: { ...inspection, ends }, fault: undefined }
  })
}
