// How many file descriptors this process may have, and has. Linux alone says so; elsewhere there is room.
import { readdirSync, readFileSync } from 'node:fs'

/** Where so many are allowed nothing of ours comes near, and counting them costs more than a child. */
const PLENTY = 4096

/** As it is now: it can be changed from outside. */
export function readFilesMax(): number {
  const soft = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return soft === undefined ? Infinity : Number(soft)
}

export function hasRoomFor(files: number): boolean {
  try {
    const most = readFilesMax()
    return most >= PLENTY || readdirSync('/proc/self/fd').length + files <= most
  } catch (error) {
    // To look takes one, too.
    const { code } = error as NodeJS.ErrnoException
    return code !== 'EMFILE' && code !== 'ENFILE'
  }
}
