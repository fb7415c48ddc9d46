// Wires in a list, as `kubectl get wires` has it.
import type { Wire } from '../wire/wire.ts'
import { summarizeWire } from '../wire/summary.ts'
import { renderTable } from './table.ts'

/** What `get -o json` prints for each wire. Keys are only ever added. */
export interface ListedWire {
  readonly namespace: string
  readonly name: string
  readonly state: string
  readonly message: string
  readonly ends: readonly {
    readonly holder: string
    readonly ifname: string
    readonly node: string
  }[]
  readonly vni: number | null
  readonly mtu: string
}

export function toListedWire(wire: Wire): ListedWire {
  const { state, message, mtu } = summarizeWire(wire)
  const { namespace, name, vni = null } = wire
  const ends = wire.ends.map(({ holder, ifname, node }) => ({ holder, ifname, node }))
  return { namespace, name, state, message, ends, vni, mtu }
}

export interface ListOptions {
  readonly hasNamespaces: boolean
  readonly hasMessages: boolean
}

export function renderList(wires: readonly Wire[], options: ListOptions): readonly string[] {
  const { hasNamespaces, hasMessages } = options
  const cut = (row: readonly string[]): readonly string[] =>
    row.filter((_, at) => (at > 0 || hasNamespaces) && (at < row.length - 1 || hasMessages))
  const titles = ['NAMESPACE', 'NAME', 'STATE', 'ENDS', 'NODES', 'VNI', 'MTU', 'MESSAGE']
  const rows = wires.map((wire) => {
    const { state, message, ends, nodes, mtu } = summarizeWire(wire)
    const vni = wire.vni === undefined ? '' : String(wire.vni)
    return [wire.namespace, wire.name, state, ends, nodes, vni, mtu, message]
  })
  return renderTable(cut(titles), rows.map(cut))
}
