// Events on pods and virtual machines, for facts that their users must know. The same message about the same
// object is one Event with a count, as kubectl shows it.
import type { CoreV1Event } from '@kubernetes/client-node'

import { sha256Hex } from '../../core/hash.ts'
import type { ObjectRef } from '../../core/wire/holder.ts'
import type { Notice } from '../../core/wire/notice.ts'
import { toMessage } from '../../core/printable.ts'
import type { KubeClient } from './client.ts'
import { callApi, getStatus } from './errors.ts'

export type TellSubjects = (subjects: readonly ObjectRef[], notice: Notice) => Promise<void>

const COMPONENT = 'l2wire-agent'

export function newEventTeller(client: KubeClient, node: string): TellSubjects {
  return async (subjects, notice) => {
    for (const subject of subjects) await tell(client, node, subject, notice)
  }
}

async function tell(
  { core, server }: KubeClient,
  node: string,
  subject: ObjectRef,
  { type, reason, message }: Notice,
): Promise<void> {
  const now = new Date()
  const { namespace } = subject
  const text = toMessage(message)
  const digest = sha256Hex(`${subject.uid} ${node} ${reason} ${text}`, 16)
  // A name has at most 253 bytes.
  const name = `${subject.name.slice(0, 200)}.${digest}`
  const body: CoreV1Event = {
    metadata: { name, namespace },
    involvedObject: subject,
    type,
    reason,
    message: text,
    source: { component: COMPONENT, host: node },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  }
  await callApi(server, `tell ${subject.kind} "${namespace}/${subject.name}"`, async () => {
    try {
      await core.createNamespacedEvent({ namespace, body })
    } catch (error) {
      if (getStatus(error) !== 409) throw error
      const earlier = await core.readNamespacedEvent({ namespace, name })
      earlier.count = (earlier.count ?? 1) + 1
      earlier.lastTimestamp = now
      await core.replaceNamespacedEvent({ namespace, name, body: earlier })
    }
  })
}
