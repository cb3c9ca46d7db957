/** As much of React Native as the guide uses. */
export const AppState = {
  currentState: 'active',
  addEventListener: () => ({ remove() {} }),
};
