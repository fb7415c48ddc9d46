// Before any suite: removes the namespaces of a run that was killed.
import { sweepNetns } from '../lab/netns.ts'

export async function mochaGlobalSetup(): Promise<void> {
  await sweepNetns()
}
