// What came of taking a cable out, or of putting it back, in the words of its nodes' reports.
import { summarizeCarrier } from '../guest/carrier-summary.ts'
import { listEndKeys, summarizeWire } from './summary.ts'
import { ENDS_PER_WIRE, describeEnd, type Wire } from './wire.ts'

/** Nodes of the wire's ends that have not said yet that they did as it says of its cable. */
export function listLaggards(wire: Wire): readonly string[] {
  const keys = listEndKeys(wire).join()
  const said = (node: string): string | undefined =>
    wire.reports.find((report) => report.node === node && report.ends.join() === keys)?.state
  const nodes = [...new Set(wire.ends.map(({ node }) => node))].sort()
  if (wire.isUnplugged)
    return nodes.filter((node) => {
      const state = said(node)
      return state === undefined || state === 'joined'
    })
  // An end alone leads nowhere, plugged or not.
  return wire.ends.length < ENDS_PER_WIRE ? [] : nodes.filter((node) => said(node) !== 'joined')
}

/** What is now, as words that go on after the wire's name; undefined is a wire of which nothing is left. */
export function describePlugging(wire: Wire | undefined): string {
  if (wire === undefined)
    return 'plugged in again: nobody is at its ends, and nothing is kept of it'
  const { ends } = wire
  if (!wire.isUnplugged) return `plugged in: ${summarizeWire(wire).message}`
  if (ends.length === 0) return 'unplugged: nobody is at its ends, whoever comes has no carrier'
  const has = ends.length === 1 ? 'has' : 'have'
  const said = `unplugged: ${ends.map(describeEnd).join(' and ')} ${has} no carrier`
  const carrier = summarizeCarrier(wire)
  return carrier === undefined || carrier.status === 'True' ? said : `${said}; ${carrier.message}`
}
