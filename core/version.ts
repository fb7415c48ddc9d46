/** The release, as package.json has it; a test compares them. */
export const VERSION = '0.4.0'
