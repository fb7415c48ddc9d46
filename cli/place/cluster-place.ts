// Wires in a cluster, through the real kubectl: their objects, what is around them, and the agents'
// pods, in which this very program looks at a node.
import {
  parseItems,
  pickEvents,
  toAgentPod,
  type AgentPod,
} from '../../core/doctor/cluster-list.ts'
import { decodeSurvey, type NodeVisit } from '../../core/doctor/facts.ts'
import { renderCauses } from '../../core/errors.ts'
import { mapLimited } from '../../core/limit.ts'
import { decodeInspection } from '../../core/observe/inspection.ts'
import { parseJson } from '../../core/shape.ts'
import { listNodes, toWireKey, type Wire } from '../../core/wire/wire.ts'
import type { NodeLook } from '../../core/wire/facts.ts'
import { fromWireObject, GROUP, VERSION, WIRES } from '../../core/wire/object.ts'
import { run } from '../../kernel/run.ts'
import { CliError } from '../cli-error.ts'
import { newKubectl } from './kubectl.ts'
import { takeClusterInventory } from './cluster-inventory.ts'
import { plugWire, readWire } from './cluster-wire.ts'
import { complain } from '../output.ts'
import { explain, type Place, type Surroundings } from './place.ts'

/** Where deploy/ puts the agents. */
const AGENT_NAMESPACE = 'l2wire'
const AGENT_LABEL = 'app.kubernetes.io/name=l2wire-agent'
const AGENT_CONTAINER = 'agent'
/** A node with hundreds of wires answers within seconds. */
const SURVEY_MS = 60_000

export function newClusterPlace(flags: readonly string[], namespace: string | undefined): Place {
  const kubectl = newKubectl(flags)

  const readNamespace = async (): Promise<string> => {
    if (namespace !== undefined) return namespace
    try {
      const template = 'jsonpath={.contexts[0].context.namespace}'
      const answer = await kubectl.read('config', 'view', '--minify', '-o', template)
      return answer === '' ? 'default' : answer
    } catch (error) {
      // Without a context: kubectl in a pod, or a server by its address.
      if (error instanceof CliError) return 'default'
      throw error
    }
  }

  let agents: Promise<readonly AgentPod[]> | undefined
  const listAgents = async (): Promise<readonly AgentPod[]> => {
    agents ??= kubectl
      .read('get', 'pods', '--namespace', AGENT_NAMESPACE, '--selector', AGENT_LABEL, '-o', 'json')
      .then((json) => parseItems(json, 'pods').map(toAgentPod))
    return agents
  }

  const toNodeArgv = async (node: string, isReadyNeeded = true): Promise<readonly string[]> => {
    const pod = (await listAgents()).find((one) => one.node === node)
    if (pod === undefined)
      throw new CliError(
        `Cannot look at node "${node}": no agent's pod is on it, expected one in namespace ${AGENT_NAMESPACE} with label ${AGENT_LABEL}`,
      )
    if (isReadyNeeded && !pod.isReady)
      throw new CliError(
        `Cannot look at node "${node}": its agent's pod "${pod.name}" is not ready`,
      )
    const where = ['--namespace', AGENT_NAMESPACE, pod.name, '--container', AGENT_CONTAINER]
    return [...kubectl.argv, 'exec', '--stdin', ...where, '--', 'kubectl-l2wire']
  }

  const lookAt = async (wire: Wire, node: string): Promise<NodeLook> => {
    try {
      const args = ['inspect', wire.name, '--namespace', wire.namespace]
      const json = await run([...(await toNodeArgv(node)), ...args], { env: process.env })
      const path = `inspect on ${node}`
      const value = parseJson(json, path, 'an inspection as JSON')
      return { node, inspection: decodeInspection(value, `${path}: `), reason: undefined }
    } catch (error) {
      return { node, inspection: undefined, reason: explain(error) }
    }
  }

  const visit = async (node: string): Promise<NodeVisit> => {
    try {
      // One that is not ready may know why.
      const json = await run([...(await toNodeArgv(node, false)), 'survey'], {
        env: process.env,
        timeoutMs: SURVEY_MS,
      })
      return { node, survey: decodeSurvey(json, `survey on ${node}`), reason: undefined }
    } catch (error) {
      return { node, survey: undefined, reason: explain(error) }
    }
  }

  return {
    label: 'the cluster',
    readNamespace,
    list: async ({ hasAll }) => {
      // By its path: to look the kind up kubectl would ask five times of a server that does not answer.
      const where = hasAll ? '' : `namespaces/${await readNamespace()}/`
      const json = await kubectl.read('get', '--raw', `/apis/${GROUP}/${VERSION}/${where}${WIRES}`)
      return parseItems(json, WIRES).flatMap((object) => {
        try {
          return [fromWireObject(object)]
        } catch (error) {
          complain(renderCauses(error))
          return []
        }
      })
    },
    read: async (id) => readWire(kubectl, id),
    setUnplugged: async (id, isUnplugged) => plugWire(kubectl, id, isUnplugged),
    toNodeArgv: async (node) => toNodeArgv(node),
    isWithinReach: () => true,
    look: async (wire) => Promise.all(listNodes(wire).map(async (node) => lookAt(wire, node))),
    readSurroundings: async (wire) => readSurroundings(kubectl.read, wire),
    takeInventory: async (only) => takeClusterInventory(kubectl, only, listAgents),
    visit: async ({ agents = [] }, node) =>
      mapLimited(node === undefined ? agents.map((agent) => agent.node) : [node], visit),
    hasRemoteNodes: true,
  }
}

// Who may read wires may not be allowed the rest: what is refused is said, and the wire is told all the same.
async function readSurroundings(
  read: (...args: readonly string[]) => Promise<string>,
  wire: Wire,
): Promise<Surroundings> {
  const unknown: string[] = []
  const tryRead = async (what: string, args: readonly string[]): Promise<string> => {
    try {
      return await read(...args, '--namespace', wire.namespace)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      unknown.push(`${what} of wire ${toWireKey(wire)}: ${error.message}`)
      return ''
    }
  }
  const pods = wire.ends.flatMap(({ pod }) => pod ?? [])
  const [eventList, podNames] = await Promise.all([
    tryRead('Events', ['get', 'events', '-o', 'json']),
    pods.length === 0
      ? ''
      : tryRead('Pods', ['get', 'pods', ...new Set(pods), '--ignore-not-found', '-o', 'name']),
  ])
  const isKnown = !unknown.some((text) => text.startsWith('Pods'))
  const there = podNames.split('\n').map((line) => line.replace('pod/', ''))
  return {
    events: pickEvents(parseItems(eventList, 'events'), wire),
    gonePods: isKnown ? pods.filter((pod) => !there.includes(pod)) : [],
    unknown,
  }
}
