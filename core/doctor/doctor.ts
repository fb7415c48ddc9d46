// The doctor's whole round: every rule on everything that was gathered.
import { findInNode } from './node.ts'
import type { DoctorFacts } from './facts.ts'
import { findAround } from './kubevirt.ts'
import { findInStore } from './store.ts'
import type { Finding } from './finding.ts'

/** Findings of the node, and of the namespace whose wires were read, where one is given. */
export function findAll(facts: DoctorFacts, node?: string): readonly Finding[] {
  const findings = [
    ...findInStore(facts),
    ...findAround(facts),
    ...facts.visits.flatMap((visit) =>
      visit.survey === undefined
        ? []
        : [...findInNode(facts, visit.node, visit.survey), ...(visit.survey.findings ?? [])],
    ),
  ]
  return findings
    .filter((finding) => node === undefined || finding.node === node)
    .filter(({ wire }) => facts.namespace === undefined || isOf(wire, facts.namespace))
}

// What is of no wire concerns every namespace's.
function isOf(wire: string | null, namespace: string): boolean {
  return wire === null || wire.startsWith(`${namespace}/`)
}
