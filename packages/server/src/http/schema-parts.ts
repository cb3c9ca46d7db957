/** What JSON schemas are put together from. */

export const text = (description: string, more: object = {}) => ({ type: 'string', description, ...more });
export const count = (description: string) => ({ type: 'integer', minimum: 0, description });
export const time = (description: string) => ({ type: 'string', format: 'date-time', description });
export const nullable = <Schema extends { readonly type: string }>(schema: Schema) => ({
  ...schema,
  type: [schema.type, 'null'],
});

export const closed = (properties: object, required: readonly string[] = []) => ({
  type: 'object',
  additionalProperties: false,
  properties,
  ...(required.length === 0 ? {} : { required }),
});
