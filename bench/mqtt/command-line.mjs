/** What the commands of this folder's parent share: options, the choice of cases and servers, packages of peers. */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { runToEnd } from './processes.mjs';

const bench = fileURLToPath(new URL('..', import.meta.url));

/** Values of the options; ends the process with a message that begins with `name` when they are wrong. */
export function parseOptions(name, options) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exit(1);
  }
}

/** The items that a list of names, or of groups, picks; undefined: all. */
export function chosen(list, all, what) {
  if (list === undefined) return all;
  const names = list.split(',');
  const namesOf = (item) => (typeof item === 'string' ? [item] : [item.name, item.group]);
  const unknown = names.find((name) => !all.some((item) => namesOf(item).includes(name)));
  if (unknown !== undefined) throw new Error(`unknown ${what} '${unknown}'; --list shows them`);
  return all.filter((item) => namesOf(item).some((name) => names.includes(name)));
}

/** Names of the servers that are there; packages of peers are installed when they are missing. */
export async function availableServers(names, servers, whyMissing, log) {
  const present = [];
  for (const name of names) {
    if (servers[name].needsPackages && (await whyMissing(name)) !== undefined) {
      log('installing the packages of bench/package.json');
      await runToEnd('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: bench });
    }
    const why = await whyMissing(name);
    if (why === undefined) present.push(name);
    else log(`left out: ${servers[name].title}: ${why}`);
  }
  return present;
}
