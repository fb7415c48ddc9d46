// What this node knows of a wire without asking the store: the document as last read, and whose guest was heard since.
import type { WireAttachment } from '../../core/attach/attachment.ts'
import { keepHeard, supposeMoved } from '../../core/wire/suppose.ts'
import {
  listNodes,
  toAttachmentKey,
  toWireKey,
  type AttachmentId,
  type Wire,
  type WireId,
} from '../../core/wire/wire.ts'
import type { AgentContext } from '../context.ts'

/** Remembers the store's word. Whom it has no longer standing by was heard long enough. */
export function remember(node: AgentContext, id: WireId, wire: Wire | undefined): void {
  const key = toWireKey(id)
  if (wire === undefined || !listNodes(wire).includes(node.name)) node.known.delete(key)
  else node.known.set(key, wire)
  setHeard(node, id, keepHeard(wire, node.heard.get(key) ?? new Set()))
}

/** The guest runs there, whatever the store says yet. */
export function hear(node: AgentContext, id: WireId, end: AttachmentId): void {
  const heard = node.heard.get(toWireKey(id)) ?? []
  setHeard(node, id, new Set([...heard, toAttachmentKey(end)]))
}

export function isHeard(node: AgentContext, end: WireAttachment): boolean {
  return node.heard.get(toWireKey(end.wire))?.has(toAttachmentKey(end)) ?? false
}

/** Its sandbox goes. Returns whether its guest was heard and the store does not know yet. */
export function unhear(node: AgentContext, id: WireId, end: AttachmentId): boolean {
  const heard = new Set(node.heard.get(toWireKey(id)))
  const wasHeard = heard.delete(toAttachmentKey(end))
  setHeard(node, id, heard)
  return wasHeard
}

function setHeard(node: AgentContext, id: WireId, heard: ReadonlySet<string>): void {
  if (heard.size === 0) node.heard.delete(toWireKey(id))
  else node.heard.set(toWireKey(id), heard)
}

/** The wire as it will be once the store says what was heard here; the same wire where it says so, or nothing was. */
export function suppose(node: AgentContext, id: WireId, wire: Wire | undefined): Wire | undefined {
  const heard = node.heard.get(toWireKey(id))
  return wire === undefined || heard === undefined ? wire : supposeMoved(wire, heard)
}
