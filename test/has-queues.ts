// Which kind of tap one is: made for one queue or for several.
import type { LabNetns } from '../lab/netns.ts'

/** Undefined where there is no such tap. */
export async function hasQueues(netns: LabNetns, tap: string): Promise<boolean | undefined> {
  const links = JSON.parse(await netns.run(['ip', '-j', '-d', 'link', 'show'])) as {
    ifname: string
    linkinfo?: { info_data?: { multi_queue?: boolean } }
  }[]
  return links.find(({ ifname }) => ifname === tap)?.linkinfo?.info_data?.multi_queue
}
