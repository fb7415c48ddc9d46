// The doctor's whole round: every rule on everything that was gathered.
import { findAttachmentFaults } from './doctor-node.ts'
import type { DoctorFacts } from './doctor-facts.ts'
import { findKernelFaults } from './doctor-kernel.ts'
import { findStoreFaults } from './doctor-store.ts'
import type { Finding } from './finding.ts'

/** Findings of the node, and of the namespace whose wires were read, where one is given. */
export function findFaults(facts: DoctorFacts, node?: string): readonly Finding[] {
  const findings = [
    ...findStoreFaults(facts),
    ...facts.visits.flatMap((visit) =>
      visit.survey === undefined
        ? []
        : [
            ...findAttachmentFaults(facts, visit.node, visit.survey),
            ...findKernelFaults(facts, visit.node, visit.survey),
          ],
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
