/**
 * What checks requests and writes answers, made from a route's schemas when the route is first asked: making those of all routes took a
 * fifth of a start. A schema that cannot be compiled is therefore met by a request; tests ask every route.
 */
import type { BuildCompilerFromPool } from '@fastify/ajv-compiler';
import type { Serializer, SerializerFactory } from '@fastify/fast-json-stringify-compiler';
import type { FastifyServerOptions } from 'fastify';
import { lazyModule, once } from '../lazy-module.js';

type CompilersFactory = NonNullable<
  NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']
>;
/** What fastify calls with the value; false: see `errors`. */
interface Validator {
  (value: unknown): boolean;
  errors?: unknown;
}
type Compile<Compiled> = (route: unknown) => Compiled;

const ajv = lazyModule<{ AjvCompiler: () => BuildCompilerFromPool }>('@fastify/ajv-compiler');
const stringify = lazyModule<{ SerializerSelector: () => SerializerFactory }>(
  '@fastify/fast-json-stringify-compiler',
);

export const lazyCompilers = {
  buildValidator: (
    schemas: Parameters<BuildCompilerFromPool>[0],
    options: Parameters<BuildCompilerFromPool>[1],
  ) => {
    const compiler = once(() => ajv().AjvCompiler()(schemas, options) as unknown as Compile<Validator>);
    return (route: unknown): Validator => {
      const compiled = once(() => compiler()(route));
      const validate: Validator = (value) => {
        const isValid = compiled()(value);
        validate.errors = compiled().errors;
        return isValid;
      };
      return validate;
    };
  },
  buildSerializer: (schemas: unknown, options: Parameters<SerializerFactory>[1]) => {
    const compiler = once(() => stringify().SerializerSelector()(schemas, options) as Compile<Serializer>);
    return (route: unknown): Serializer => {
      const compiled = once(() => compiler()(route));
      return (value) => compiled()(value);
    };
  },
} as unknown as CompilersFactory;
