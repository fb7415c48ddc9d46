// What nft says on stderr: for each line of its input that failed, where and why, then the line itself.

const COMPLAINT = /^\S+: Error: (.*)\n(.*)$/gm
/** An expression that the kernel does not have, or not for this family. */
const UNSUPPORTED =
  /^Could not process rule: (?:No such file or directory|Operation not supported)$/

/**
 * Whether a ruleset failed for want of nft_fib alone. A kernel that lacks more, or a table that somebody
 * deletes meanwhile, has nft complain of other lines, too.
 */
export function lacksPathCheck(said: string): boolean {
  const complaints = [...said.matchAll(COMPLAINT)]
  return (
    complaints.length > 0 &&
    complaints.every(([, why = '', line = '']) => UNSUPPORTED.test(why) && / fib saddr /.test(line))
  )
}
