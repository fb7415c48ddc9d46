// Where our filters of tc stand, and the two programs that need no frame.

/** One redirect of ours per device before anybody else's filters; where frames are steered, behind those. */
export const PLACE = { first: 1, dropEgress: 2, behindSteering: 9 }

/** Classic BPF, as tc's "bytecode": every frame matches. */
export const MATCH_ALL_PROGRAM = '1,6 0 0 4294967295,'
/** TC_ACT_SHOT of linux/pkt_cls.h, as a verdict of its own: the action "drop" is a module that not every kernel has. */
export const DROP_PROGRAM = '1,6 0 0 2,'
