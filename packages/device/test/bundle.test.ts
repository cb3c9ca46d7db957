/** What an app gets of the package when it is bundled for a browser or for React Native: nothing of Node, and no more than is said. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, type BuildResult, type Metafile } from 'esbuild';

const packageFolder = fileURLToPath(new URL('../..', import.meta.url));

/** The bundle of an app with these lines, for a platform that has these conditions of `exports`. */
function bundle(
  lines: string,
  conditions: readonly string[],
): Promise<BuildResult<{ write: false; metafile: true }>> {
  return build({
    stdin: { contents: lines, resolveDir: packageFolder, sourcefile: 'app.js' },
    absWorkingDir: packageFolder,
    bundle: true,
    format: 'esm',
    target: 'es2023',
    // Nothing is taken for granted: a module of Node is an error.
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: [...conditions],
    minify: true,
    metafile: true,
    write: false,
    logLevel: 'silent',
  });
}

function filesOf({ inputs }: Metafile): readonly string[] {
  return Object.keys(inputs);
}

const platforms = [
  { name: 'a browser', condition: 'browser', entry: 'browser' },
  { name: 'React Native', condition: 'react-native', entry: 'react-native' },
] as const;

for (const { name, condition, entry } of platforms) {
  test(`a bundle for ${name} has no module of Node, and no file of another platform`, async (t: TestContext) => {
    for (const specifier of ['@wakeline/device', `@wakeline/device/${entry}`]) {
      const { metafile, outputFiles } = await bundle(`export * from '${specifier}';`, [condition]);
      const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
      assert.deepEqual(imports, [], 'it stands alone');
      for (const file of filesOf(metafile)) {
        const isForeign = platforms.some(
          (other) => other.entry !== entry && file.includes(`/${other.entry}/`),
        );
        assert(!isForeign && !/\/(?:electron|node|sleepbox)\/|node_modules\/ws\//.test(file), file);
      }
      const text = outputFiles[0]!.text;
      for (const [, asked] of text.matchAll(/(?:from|import|require)\s*\(?\s*["']([^"']+)["']/g)) {
        assert(!isBuiltin(asked!), `it asks for ${asked}`);
      }
      assert(
        !/\bprocess\.(?:env|cwd|platform)|\bBuffer\b|__dirname/.test(text),
        'it takes no global of Node',
      );
      t.diagnostic(`${specifier} for ${name}: ${outputFiles[0]!.contents.length} bytes with everything`);
    }
  });
}

test('the entry of Node cannot be bundled so: what is asserted above can fail', async () => {
  await assert.rejects(bundle(`export { openLine } from '@wakeline/device/node';`, ['browser']), /node:/);
});

test('the size of the bundle for a browser is what the README says', async (t) => {
  const { outputFiles } = await bundle(`export { openLine } from '@wakeline/device';`, ['browser']);
  const { contents } = outputFiles[0]!;
  const compressed = gzipSync(contents, { level: 9 }).length;
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const [, most, mostCompressed] = /at most (\d+) KB of JavaScript, (\d+) KB compressed/.exec(readme)!;
  t.diagnostic(`openLine: ${contents.length} bytes minified, ${compressed} with gzip`);
  assert(contents.length <= Number(most) * 1_000, `${contents.length} bytes`);
  assert(compressed <= Number(mostCompressed) * 1_000, `${compressed} bytes with gzip`);
  // And the README does not say much more than is so.
  assert(contents.length > Number(most) * 800 && compressed > Number(mostCompressed) * 800);
});
