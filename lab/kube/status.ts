// Reads states from objects and from kubectl's tables.
import { isRecord } from '../../core/record.ts'
import { getMapping, type Manifest } from '../manifests.ts'

/** Whether it has a true condition of that type. A new object has no status yet. */
export function hasCondition(object: Manifest, type: string): boolean {
  if (object['status'] === undefined) return false
  const { conditions } = getMapping(object, 'status')
  return (
    Array.isArray(conditions) &&
    conditions.some(
      (condition) =>
        isRecord(condition) && condition['type'] === type && condition['status'] === 'True',
    )
  )
}

/** Of "kubectl get pods": READY STATUS …, behind the name. */
export function isUp([ready = '', status]: readonly string[]): boolean {
  const [running, all] = ready.split('/')
  return status === 'Completed' || (status === 'Running' && running === all)
}
