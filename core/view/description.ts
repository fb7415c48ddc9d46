// A wire in full: as a value of a stable shape for programs, and as text for people.
import type { Device, WireInspection } from '../observe/inspection.ts'
import { summarizeCarrier, type CarrierSummary } from '../guest/carrier-summary.ts'
import { toPrintable } from '../printable.ts'
import type { Finding } from '../doctor/finding.ts'
import { findInWire } from '../doctor/wire.ts'
import {
  describeEnd,
  toAttachmentKey,
  type EndClaim,
  type NodeReport,
  type StandbyClaim,
} from '../wire/wire.ts'
import { findEndLook, type WireEvent, type WireFacts } from '../wire/facts.ts'
import { summarizeWire, type WireState } from '../wire/summary.ts'
import { renderFinding, renderPoint } from './checkup.ts'
import { drawPath } from './path.ts'
import { renderAge, renderTable, wrapText } from './table.ts'

/** What `describe -o json` prints. Keys are only ever added. */
export interface WireDescription {
  readonly namespace: string
  readonly name: string
  readonly state: WireState
  readonly message: string
  readonly vni: number | null
  /** Null for a wire without a VM. */
  readonly carrier: CarrierSummary | null
  readonly ends: readonly (EndClaim & {
    readonly mac: string | null
    /** False: what reaches it is whole. Null where its node does not say. */
    readonly offload: boolean | null
  })[]
  /** Sandboxes that wait for an end that another one has. */
  readonly standbys: readonly StandbyClaim[]
  readonly nodes: readonly {
    readonly node: string
    readonly report: NodeReport | null
    readonly inspection: WireInspection | null
    /** Why there is no inspection. */
    readonly reason: string | null
  }[]
  readonly path: readonly string[]
  readonly findings: readonly Finding[]
  readonly events: readonly WireEvent[]
  /** What could not be found out, and why. */
  readonly unknown: readonly string[]
}

export function toDescription(facts: WireFacts): WireDescription {
  const { wire } = facts
  const { state, message } = summarizeWire(wire)
  return {
    namespace: wire.namespace,
    name: wire.name,
    state,
    message,
    vni: wire.vni ?? null,
    carrier: summarizeCarrier(wire) ?? null,
    ends: wire.ends.map((end) => {
      const look = findEndLook(facts, end)
      return { ...end, mac: look?.podEnd?.mac ?? null, offload: look?.offload ?? null }
    }),
    standbys: wire.standbys,
    nodes: facts.looks.map(({ node, inspection, reason }) => ({
      node,
      report: wire.reports.find((report) => report.node === node) ?? null,
      inspection: inspection ?? null,
      reason: reason ?? null,
    })),
    path: drawPath(facts),
    findings: findInWire(facts),
    events: facts.events,
    unknown: facts.unknown,
  }
}

const COLUMNS = 100

/** For a terminal; now, in milliseconds since 1970, is what events' ages are counted from. */
export function renderDescription(description: WireDescription, now: number): string {
  const { namespace, name, state, message, vni, carrier, findings, events, nodes } = description
  const sections = [
    [
      `Name:       ${name}`,
      `Namespace:  ${namespace}`,
      `State:      ${state}: ${message}`,
      ...(vni === null ? [] : [`VNI:        ${vni}`]),
      ...(carrier === null ? [] : renderCarrier(carrier)),
    ],
    renderSection('What is wrong', findings.flatMap(renderFinding), 'nothing that can be seen'),
    renderSection('Path', description.path, ''),
    renderSection('Ends', renderEnds(description), 'none'),
    ...renderStandbys(description),
    renderSection('Counters', renderCounters(description), 'none could be read'),
    renderSection('Events', renderEvents(events, now), 'none'),
    renderUnknown(description, nodes),
  ]
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map(toPrintable).join('\n'))
    .join('\n\n')
}

function renderSection(
  title: string,
  lines: readonly string[],
  otherwise: string,
): readonly string[] {
  if (lines.length === 0) return [`${title}: ${otherwise}`]
  return [`${title}:`, ...lines.map((line) => `  ${line}`.trimEnd())]
}

function renderEnds({ ends }: WireDescription): readonly string[] {
  if (ends.length === 0) return []
  return renderTable(
    ['END', 'NODE', 'ADDRESS', 'MAC', 'MTU', 'OFFLOAD', 'CONTAINER'],
    ends.map((end) => [
      describeEnd(end),
      end.node,
      end.address,
      end.mac ?? '-',
      String(end.mtuBytes),
      end.offload === null ? '-' : end.offload ? 'on' : 'off',
      // As container runtimes' own tools cut it.
      end.containerID.slice(0, 13),
    ]),
  )
}

/** No section where nobody stands by, which is the rule. */
function renderStandbys({ standbys }: WireDescription): readonly (readonly string[])[] {
  if (standbys.length === 0) return []
  const rows = standbys.map((one) => [
    describeEnd(one),
    one.node,
    one.containerID.slice(0, 13),
    one.isTarget
      ? 'has the end once the guest runs there'
      : 'older; has the end again if the newer one goes',
  ])
  return [
    renderSection('Standing by', renderTable(['END', 'NODE', 'CONTAINER', 'WHAT FOR'], rows), ''),
  ]
}

function renderCounters({ nodes, ends }: WireDescription): readonly string[] {
  const rows = nodes.flatMap(({ node, inspection }) =>
    inspection === null ? [] : listCounted(inspection, ends).map((one) => toCounterRow(node, one)),
  )
  if (rows.length === 0) return []
  return renderTable(
    ['NODE', 'DEVICE', 'IN', 'BYTES', 'LOST', 'OUT', 'BYTES', 'LOST', 'REDIRECT LOST'],
    rows,
  )
}

interface Counted {
  readonly name: string
  readonly device: Device
}

// Devices of pods may share a name: theirs goes with the pod's.
function listCounted(
  { ends, tunnel }: WireInspection,
  claims: readonly EndClaim[],
): readonly Counted[] {
  const named = ends.flatMap((end) => {
    const holder = claims.find((claim) => toAttachmentKey(claim) === toAttachmentKey(end))?.holder
    const inPod = [end.tap, end.podEnd].flatMap((device) =>
      device === null ? [] : [{ name: `${holder ?? 'pod'} ${device.name}`, device }],
    )
    return [...inPod, ...(end.hostEnd === null ? [] : [toCounted(end.hostEnd)])]
  })
  return [...named, ...(tunnel === null ? [] : [toCounted(tunnel)])]
}

function toCounted(device: Device): Counted {
  return { name: device.name, device }
}

function toCounterRow(node: string, { name, device }: Counted): readonly string[] {
  const { received, sent, redirect } = device
  return [
    node,
    name,
    ...[received, sent]
      .flatMap(({ frames, bytes, dropped }) => [frames, bytes, dropped])
      .map(String),
    redirect === null ? '-' : String(redirect.dropped),
  ]
}

function renderCarrier({ reason, message }: CarrierSummary): readonly string[] {
  const label = 'Carrier:    '
  const lines = wrapText(`${reason}: ${message}`, COLUMNS - label.length)
  return lines.map((line, at) => (at === 0 ? label : ' '.repeat(label.length)) + line)
}

const EVENTS_SHOWN = 10

function renderEvents(events: readonly WireEvent[], now: number): readonly string[] {
  if (events.length === 0) return []
  const newest = events
    .toSorted((one, other) => one.time.localeCompare(other.time))
    .slice(-EVENTS_SHOWN)
  return newest.flatMap(({ time, type, reason, object, message }) => {
    const age = time === '' ? '' : `${renderAge(now - Date.parse(time))} ago `
    const lines = wrapText(message, COLUMNS - 6)
    return [`${age}${type} ${reason} ${object}`, ...lines.map((line) => `  ${line}`)]
  })
}

function renderUnknown(
  { unknown }: WireDescription,
  nodes: WireDescription['nodes'],
): readonly string[] {
  const reasons = nodes.flatMap(({ node, inspection, reason }) => [
    ...(reason === null ? [] : [`Node ${node} could not be looked at: ${reason}`]),
    ...(inspection?.unseen ?? []).map((what) => `On node ${node} ${what}`),
  ])
  const lines = [...reasons, ...unknown].flatMap(renderPoint)
  return lines.length === 0 ? [] : renderSection('Not known', lines, '')
}
