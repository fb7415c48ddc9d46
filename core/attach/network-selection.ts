// The networks that a pod's annotation asks Multus for: "Network Attachment Selection Annotation" of the Kubernetes
// Network Custom Resource Definition De-facto Standard, 4.1.2: a list as JSON, or "namespace/name@interface, …".
import { isRecord } from '../record.ts'

/** "namespace/name" of each; what cannot be read asks for nothing. */
export function parseNetworks(annotation: string, ownNamespace: string): readonly string[] {
  const text = annotation.trim()
  if (!text.startsWith('[')) return text.split(',').flatMap((one) => toKey(one, ownNamespace))
  const list = parseList(text)
  return list.flatMap((one) => {
    if (!isRecord(one) || typeof one['name'] !== 'string') return []
    const namespace = typeof one['namespace'] === 'string' ? one['namespace'] : ownNamespace
    return [`${namespace}/${one['name']}`]
  })
}

function parseList(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

function toKey(word: string, ownNamespace: string): readonly string[] {
  const name = word.trim().split('@')[0] ?? ''
  if (name === '') return []
  return [name.includes('/') ? name : `${ownNamespace}/${name}`]
}
